import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError, type Backend, type Encoder } from '@sentvec/core';

/** A backend whose faults a test can set. */
export interface BreakableBackend extends Backend {
  /** Whether every batch fails. */
  broken: boolean;
  /** Batches that contain this token id fail. */
  poison: number | undefined;
  /** Delay of each batch, in milliseconds. */
  delay: number;
}

/** Wraps a backend so that tests can inject faults. */
export function breakable(backend: Backend): BreakableBackend {
  const made: BreakableBackend = {
    specificationVersion: 1,
    name: backend.name,
    broken: false,
    poison: undefined,
    delay: 0,
    isAvailable: () => backend.isAvailable(),
    load: async (model, options) => {
      const encoder = await backend.load(model, options);
      const guarded: Encoder = {
        hiddenSize: encoder.hiddenSize,
        vocabularySize: encoder.vocabularySize,
        maxPositions: encoder.maxPositions,
        concurrency: encoder.concurrency,
        batchTokens: encoder.batchTokens,
        encode: async (batch, encodeOptions) => {
          if (made.delay > 0) await sleep(made.delay);
          if (made.broken) throw new SentvecError('backend-failed', 'The backend is broken.');
          if (made.poison !== undefined && batch.ids.includes(made.poison)) {
            throw new SentvecError('backend-failed', 'The backend fails on one of these texts.');
          }
          return encoder.encode(batch, encodeOptions);
        },
        dispose: () => encoder.dispose(),
      };
      return guarded;
    },
  };
  return made;
}
