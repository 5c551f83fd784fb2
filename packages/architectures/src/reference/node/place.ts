import { SentvecError } from '@sentvec/core';
import { startThread } from '@sentvec/platform/node';
import { computeReference } from '../compute-reference.ts';
import type { ComputePlace } from '../reference-place.ts';
import type { ReferenceProtocol } from './messages.ts';

/** In a thread, which reads the files itself; in the calling thread when they are not on this disk. */
export const computePlace: ComputePlace = async (files, batch) => {
  const { directory, name } = files;
  if (directory === undefined) return computeReference(files, batch);
  try {
    const thread = await startThread<ReferenceProtocol>(new URL('./reference-worker.js', import.meta.url), {
      name: 'self-check reference',
      data: { directory, name },
    });
    return await thread.call('compute', batch).finally(() => thread.terminate());
  } catch (cause) {
    if (SentvecError.is(cause)) throw cause;
    const message = `The reference values of the self-check could not be computed: ${String(cause)}`;
    throw new SentvecError('backend-failed', message, {}, { cause });
  }
};
