// A plugin whose steps never end: they wait for a FIFO without a writer, or block the event loop when their signal is
// aborted.
import { open } from 'node:fs/promises';
import { defineStep, defineWorkflow } from '@sentvec/workflow';

/** A schema that accepts every value. */
const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };

const hang = defineStep({
  id: 'hang',
  input: anything,
  output: anything,
  async run({ fifo, blocks }, { signal, progress }) {
    if (blocks) {
      signal.addEventListener('abort', () => {
        for (;;);
      });
    }
    progress('begun');
    await open(fifo);
  },
});

export default defineWorkflow({ id: 'hanging', input: anything }).step(hang);
