import { Worker } from 'node:worker_threads';
import { SentvecError, type TokenEmbeddings } from '@sentvec/core';
import { computeReference } from '../compute-reference.ts';
import type { ComputePlace } from '../reference-place.ts';
import type { ThreadAnswer, ThreadOrder } from './messages.ts';

/** In a thread, which reads the files itself; in the calling thread when they are not on this disk. */
export const computePlace: ComputePlace = async (files, batch) => {
  if (files.directory === undefined) return computeReference(files, batch);
  const workerData: ThreadOrder = { directory: files.directory, name: files.name, batch };
  // The flags of the program (--input-type, loaders) are not for this file.
  const worker = new Worker(new URL('./reference-worker.js', import.meta.url), {
    workerData,
    execArgv: [],
    name: 'sentvec reference',
  });
  const answer = await new Promise<ThreadAnswer>((resolve) => {
    worker.once('message', resolve);
    worker.once('error', (error) => resolve({ error: plain(error) }));
    worker.once('exit', () => resolve({ error: plain('its thread ended before it was ready') }));
  });
  await worker.terminate();
  if ('error' in answer) throw SentvecError.from(answer.error);
  return answer satisfies TokenEmbeddings;
};

function plain(error: unknown): ReturnType<SentvecError['toJSON']> {
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'backend-failed',
    message: `The reference values of the self-check could not be computed: ${message}`,
    details: {},
  };
}
