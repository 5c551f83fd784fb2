import { SentvecError, type TokenBatch, type TokenEmbeddings } from '@sentvec/core';
import { startThread } from '@sentvec/platform/node';
import { computeReference } from '../compute-reference.ts';
import type { ComputePlace } from '../reference-place.ts';
import type { ReferenceProtocol } from './messages.ts';

/** In a thread, which reads the files itself; in the calling thread when they are not on this disk. */
export const computePlace: ComputePlace = async (files, batch) => {
  const { directory, name } = files;
  if (directory === undefined) return computeReference(files, batch);
  try {
    return await computeInThread({ directory, name }, batch);
  } catch (cause) {
    if (SentvecError.is(cause)) throw cause;
    const message = `The reference values of the self-check could not be computed: ${String(cause)}`;
    throw new SentvecError('backend-failed', message, {}, { cause });
  }
};

async function computeInThread(data: ReferenceProtocol['data'], batch: TokenBatch): Promise<TokenEmbeddings> {
  const thread = await startThread<ReferenceProtocol>(new URL('./reference-worker.js', import.meta.url), {
    name: 'self-check reference',
    data,
  });
  try {
    return await thread.call('compute', batch);
  } finally {
    await thread.terminate();
  }
}
