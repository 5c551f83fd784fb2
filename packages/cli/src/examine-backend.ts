import type { Embedder } from '@sentvec/core';
import { createBackend } from './backends.ts';
import { defaultModel, type LoadContext, withModel } from './model.ts';

/** What a backend does on this machine, tried with the default model. */
export type BackendReport =
  | {
      readonly backend: string;
      readonly state: 'ok';
      /** What it runs on, with versions. */
      readonly device: string;
      /** Short sentences of the default model. */
      readonly sentencesPerSecond: number;
      /** The largest difference from the model's own values, in lengths of a vector. */
      readonly difference: number | null;
    }
  | { readonly backend: string; readonly state: 'missing' | 'broken'; readonly reason: string };

/** Tries a backend. One that cannot work here is `missing`; one that fails or computes something else is `broken`. */
export async function examineBackend(name: string, context: LoadContext): Promise<BackendReport> {
  const { SentvecError } = await import('@sentvec/core');
  try {
    const availability = await (await createBackend(name, { threads: undefined })).isAvailable();
    if (!availability.available) return { backend: name, state: 'missing', reason: availability.reason };
    return await withModel({ model: defaultModel, backend: name }, context, async (embedder) => ({
      backend: name,
      state: 'ok',
      device: availability.device,
      sentencesPerSecond: await measureSpeed(embedder, context.signal),
      difference: embedder.selfCheck?.state === 'passed' ? embedder.selfCheck.difference : null,
    }));
  } catch (error) {
    if (context.signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    return { backend: name, state: SentvecError.is(error, 'backend-unavailable') ? 'missing' : 'broken', reason };
  }
}

const sentences: readonly string[] = Array.from(
  { length: 32 },
  (_, index) => `The train to platform ${index} leaves in a quarter of an hour.`,
);

/** Milliseconds after which the measurement ends. */
const longEnough = 500;

async function measureSpeed(embedder: Embedder, signal: AbortSignal): Promise<number> {
  await embedder.embed(sentences, { signal });
  const started = performance.now();
  let count = 0;
  do {
    await embedder.embed(sentences, { signal });
    count += sentences.length;
  } while (performance.now() - started < longEnough);
  return (count / (performance.now() - started)) * 1000;
}
