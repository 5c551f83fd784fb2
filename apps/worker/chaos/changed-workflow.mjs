// A plugin with a workflow that has the name and the output of the worker's own, but another version: every chunk
// twice.
import { defineStep, defineWorkflow, embedCorpusWorkflow } from '@sentvec/workflow';

export default ({ embedder, access }) => {
  const { input, stages } = embedCorpusWorkflow({ embedder, access });
  const [prepare, each, commit] = stages;
  const twice = defineStep({
    ...each.source,
    async *run(prepared, context) {
      for await (const chunk of each.source.run(prepared, context)) {
        yield chunk;
        yield chunk;
      }
    },
  });
  return defineWorkflow({ id: 'embed-corpus', version: 'twice', input })
    .step(prepare.step)
    .step(twice)
    .forEach(each.body, each.options)
    .step(commit.step);
};
