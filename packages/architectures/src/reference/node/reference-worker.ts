// The thread in which the reference of a large model is computed: it blocks while it does, and nobody else.
import { parentPort, workerData } from 'node:worker_threads';
import { SentvecError } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { computeReference } from '../compute-reference.ts';
import type { ThreadAnswer, ThreadOrder } from './messages.ts';

const { directory, name, batch } = workerData as ThreadOrder;
let answer: ThreadAnswer;
try {
  answer = await computeReference(await directoryModel(directory, { name }), batch);
} catch (error) {
  if (!SentvecError.is(error)) throw error;
  answer = { error: error.toJSON() };
}
parentPort!.postMessage(answer);
