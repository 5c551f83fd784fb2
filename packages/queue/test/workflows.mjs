// What workflows of several tests have in common. Plain JavaScript, because workers in processes of their own load it.
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';

/** Yields the whole numbers below its input. */
export const count = defineStep({
  id: 'count',
  input: v.number(),
  output: v.number(),
  async *run(end) {
    for (let index = 0; index < end; index += 1) yield index;
  },
});

/** Folds numbers into their sum. */
export const intoSum = { initial: 0, add: (total, value) => total + value };

/** A workflow whose items take a while and leave marks in a file: when each begins and ends, and in which process. */
export function marking(directory) {
  const mark = defineStep({
    id: 'mark',
    input: v.number(),
    output: v.number(),
    run: async (index, { signal }) => {
      await appendFile(join(directory, 'marks'), `begin ${index} ${process.pid}\n`);
      await sleep(100, undefined, { signal });
      await appendFile(join(directory, 'marks'), `end ${index} ${process.pid}\n`);
      return index;
    },
  });
  return defineWorkflow({ id: 'marking', input: v.number() }).step(count).forEach(mark, { fold: intoSum });
}
