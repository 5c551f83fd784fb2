import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';

/** A workflow whose items take a while and leave marks in a file: when each begins and ends, and in which process. */
export function marking(directory) {
  const count = defineStep({
    id: 'count',
    input: v.number(),
    output: v.number(),
    async *run(end) {
      for (let index = 0; index < end; index += 1) yield index;
    },
  });
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
  const fold = { initial: 0, add: (total, index) => total + index };
  return defineWorkflow({ id: 'marking', input: v.number() }).step(count).forEach(mark, { fold });
}
