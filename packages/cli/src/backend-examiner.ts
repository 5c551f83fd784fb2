// The child process in which `sentvec doctor` tests a backend. Its argument is the name of the backend; it sends a
// report.
import type { Embedder } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import { createBackend } from './backends.ts';
import type { BackendReport } from './examine-backend.ts';
import { defaultModel, withModel } from './model.ts';

const sentences: readonly string[] = Array.from(
  { length: 32 },
  (_, index) => `The train to platform ${index} leaves in a quarter of an hour.`,
);

/** Duration of the measurement in milliseconds. */
const measuredMilliseconds = 500;

async function measureSpeed(embedder: Embedder): Promise<number> {
  await embedder.embed(sentences);
  const started = performance.now();
  let count = 0;
  do {
    await embedder.embed(sentences);
    count += sentences.length;
  } while (performance.now() - started < measuredMilliseconds);
  return (count / (performance.now() - started)) * 1000;
}

async function examine(backend: string): Promise<BackendReport> {
  try {
    const availability = await (await createBackend(backend, { threads: undefined })).isAvailable();
    if (!availability.available) return { backend, state: 'missing', reason: availability.reason };
    const context = { signal: new AbortController().signal, note: () => {} };
    return await withModel({ model: defaultModel, backend }, context, async (embedder) => ({
      backend,
      state: 'ok',
      device: availability.device,
      sentencesPerSecond: await measureSpeed(embedder),
      difference: embedder.selfCheck?.state === 'passed' ? embedder.selfCheck.difference : null,
    }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { backend, state: SentvecError.is(error, 'backend-unavailable') ? 'missing' : 'broken', reason };
  }
}

process.send!(await examine(process.argv[2]!), () => process.disconnect());
