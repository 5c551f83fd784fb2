import { SentvecError, type TokenBatch, type TokenEmbeddings } from '@sentvec/core';
import { startThread } from '@sentvec/platform/node';
import { computeReference } from './compute-reference.ts';

/** See `ThreadProtocol` of `@sentvec/platform/node`. */
export interface ReferenceProtocol {
  /** The folder of the model, and its name in messages. */
  readonly data: { readonly directory: string; readonly name: string };
  readonly ready: undefined;
  readonly calls: { compute(batch: TokenBatch): TokenEmbeddings };
  readonly programCalls: object;
}

const referenceWorker = {
  file: './reference-worker.js',
  entry: '@sentvec/architectures/reference-worker',
  from: import.meta.url,
};

/**
 * Computes a reference in a worker thread, which reads the files itself. If they are not on disk, it computes on the
 * calling thread.
 */
export const computeLargeReference: typeof computeReference = async (files, batch) => {
  const { directory, name } = files;
  if (directory === undefined) return computeReference(files, batch);
  try {
    return await computeInThread({ directory, name }, batch);
  } catch (cause) {
    if (SentvecError.is(cause)) throw cause;
    const message = `The reference values of the self-check could not be computed: ${String(cause)}. To load the model without the self-check, set selfCheck: false.`;
    throw new SentvecError('backend-failed', message, {}, { cause });
  }
};

async function computeInThread(data: ReferenceProtocol['data'], batch: TokenBatch): Promise<TokenEmbeddings> {
  const thread = await startThread<ReferenceProtocol>(referenceWorker, {
    name: 'self-check reference',
    data,
  });
  try {
    return await thread.call('compute', batch);
  } finally {
    await thread.terminate();
  }
}
