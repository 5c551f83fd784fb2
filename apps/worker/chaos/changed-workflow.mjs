// A plugin that replaces the built-in workflow by one with the same id and the same output but another version: it
// embeds every chunk twice.
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
