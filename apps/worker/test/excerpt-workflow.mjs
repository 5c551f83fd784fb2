// A plugin with a custom workflow: it embeds each line of a file and adds up the dimensions.
import { readFile } from 'node:fs/promises';
import { defineStep, defineWorkflow } from '@sentvec/workflow';

/** A schema that accepts every value. */
const anything = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };

export function excerpt({ embedder, access } = {}) {
  const lines = defineStep({
    id: 'lines',
    input: anything,
    output: anything,
    async *run({ model, file }) {
      const text = await readFile(await access.checkRead(file), 'utf8');
      for (const line of text.trim().split('\n')) yield { model, line };
    },
  });
  const embed = defineStep({
    id: 'embed',
    input: anything,
    output: anything,
    run: async ({ model, line }) => (await (await embedder(model)).embed([line])).vectors.cols,
  });
  const fold = { initial: 0, add: (total, cols) => total + cols };
  return defineWorkflow({ id: 'excerpt', input: anything }).step(lines).forEach(embed, { fold });
}

export default excerpt;
