// `sentvec distill`.
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, modelPositional, withModel } from '../model.ts';
import { embeddingProgress } from '../progress.ts';
import { UsageError } from '../usage-error.ts';

export const distill: Command = defineCommand({
  name: 'distill',
  summary: 'Make a static model of any other: a vector for each token, hundreds of times faster, less exact.',
  args: {
    model: modelPositional,
    output: { type: 'string', alias: 'o', required: true, valueHint: 'DIR', description: 'The folder to make.' },
    dimension: { type: 'string', default: '256', valueHint: 'N', description: 'Entries of a vector.' },
    texts: {
      type: 'string',
      valueHint: 'FILE',
      description: "Texts as they will be embedded, which say how frequent tokens are; without, Zipf's law does.",
    },
    column: { type: 'string', default: 'text', valueHint: 'NAME', description: 'The column of texts in that file.' },
    revision: modelArguments.revision,
    ...backendArguments,
  },
  examples: [
    { line: 'sentvec distill sentence-transformers/all-MiniLM-L6-v2 -o static', does: 'A static model of 256 entries' },
    { line: 'sentvec distill ./my-model -o static --texts reviews.jsonl', does: 'Weighted by texts of your own' },
  ],
  notes: ['`sentvec train` makes it better: the folder is one of sentence-transformers, with a StaticEmbedding.'],
  async run(context) {
    const { args, positionals, signal } = context;
    if (positionals.length > 1) throw new UsageError(`Name one model, not ${positionals.length}.`);
    const dimension = Number(args.dimension);
    if (!(Number.isInteger(dimension) && dimension > 0))
      throw new UsageError(`--dimension is ${JSON.stringify(args.dimension)}, which is not a whole number above 0.`);
    const [{ mustBeFree, writeFolderAtomically }, { distillStatic }, { readTable }] = await Promise.all([
      import('@sentvec/platform/node'),
      import('@sentvec/training'),
      import('@sentvec/corpus'),
    ]);
    await mustBeFree(args.output);
    const table = args.texts === undefined ? undefined : await readTable({ file: args.texts, columns: [args.column] });
    await withModel(args, context, async (embedder) => {
      const progress = await embeddingProgress();
      const model = await distillStatic(embedder, {
        dimension,
        texts: table?.columns[0],
        signal,
        onProgress: ({ tokens, of }) => progress.update({ rows: tokens, tokens, fraction: tokens / of }),
      }).finally(() => progress.stop());
      const paths = await model.list();
      const files = await Promise.all(paths.map(async (path) => [path, await model.read(path)] as const));
      await writeFolderAtomically(args.output, files, { doing: 'Writing the model', signal });
      const size = Math.min(dimension, embedder.dimension);
      await context.print({
        text: `${args.output}: a static model of ${embedder.model.name}, with vectors of ${size} entries`,
        json: { model: embedder.model.name, output: args.output, dimension: size },
      });
    });
  },
});
