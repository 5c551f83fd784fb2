// All checks of a backend, collected from `backend-checks/`.
import { readModelFolder, type Backend, type Encoder, type Head, type ModelFiles } from '@sentvec/core';
import { batchingChecks } from './backend-checks/batching.ts';
import { architectureCheck, goldenChecks } from './backend-checks/goldens.ts';
import { fullEffort, smallEffort, type BackendCheck, type BackendUnderTest } from './backend-checks/check.ts';
import { lifecycleChecks } from './backend-checks/lifecycle.ts';
import { loadingChecks } from './backend-checks/loading.ts';
import { multiVectorCheck } from './backend-checks/multi-vectors.ts';
import { sparseCheck } from './backend-checks/sparse-vectors.ts';
import { rerankerCheck } from './backend-checks/rerankers.ts';
import {
  goldenArchitectureNames,
  goldenModelNames,
  goldenMultiVectorNames,
  goldenSparseNames,
  goldenRerankerNames,
  type GoldenSource,
} from './golden-expectation.ts';

export type { BackendCheck } from './backend-checks/check.ts';
export type { GoldenExpectation, GoldenSource } from './golden-expectation.ts';

/** How exact a backend is, and what the checks can find out about its process. */
export interface BackendCheckOptions {
  /**
   * Largest absolute difference of a number from PyTorch's in float64.
   * @default 5e-5, within which float32 on a CPU stays
   */
  readonly tolerance?: number | undefined;
  /**
   * Largest absolute difference between a text's embeddings alone and in a batch.
   * @default 2e-5
   */
  readonly invariance?: number | undefined;
  /**
   * Whether the device is very slow, as a GPU in software is: every check is made, but with fewer texts, lengths, calls
   * and loads.
   * @default false
   */
  readonly slowDevice?: boolean | undefined;
  /**
   * Bytes of memory that the backend's process takes now.
   * @default the memory of this process in Node; unknown elsewhere
   */
  readonly memoryInUse?: (() => number | Promise<number>) | undefined;
}

/**
 * All that a backend must do, as functions that throw: `backendContract` makes a vitest suite of them; a page in a
 * browser may call them one by one. Nothing here needs Node or vitest.
 */
export function backendChecks(
  backend: Backend,
  goldens: GoldenSource,
  options: BackendCheckOptions = {},
): BackendCheck[] {
  const { tolerance = 5e-5, invariance = 2e-5, slowDevice = false, memoryInUse = memoryOfNode() } = options;
  const subject: BackendUnderTest = {
    backend,
    goldens,
    tolerance,
    invariance,
    effort: slowDevice ? smallEffort : fullEffort,
    memoryInUse,
    withEncoder: (files, use) => withEncoder(backend, files, use),
  };
  return [
    ...goldenModelNames.flatMap((name) => goldenChecks(subject, name)),
    ...goldenArchitectureNames.map((name) => architectureCheck(subject, name)),
    ...goldenMultiVectorNames.map((name) => multiVectorCheck(subject, name)),
    ...goldenSparseNames.map((name) => sparseCheck(subject, name)),
    ...goldenRerankerNames.map((name) => rerankerCheck(subject, name)),
    ...batchingChecks(subject),
    ...lifecycleChecks(subject),
    ...loadingChecks(subject),
  ];
}

async function withEncoder<T>(
  backend: Backend,
  files: ModelFiles,
  use: (encoder: Encoder, head: Head) => Promise<T>,
): Promise<T> {
  const { encoderFiles, head } = await readModelFolder(files);
  const encoder = await backend.load(encoderFiles);
  try {
    return await use(encoder, head);
  } finally {
    await encoder.dispose();
  }
}

function memoryOfNode(): (() => number) | undefined {
  const { process } = globalThis as { process?: { memoryUsage?: { rss(): number } } };
  return process?.memoryUsage && ((): number => process.memoryUsage!.rss());
}
