// `sentvec distill`.
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, modelPositional, withModel } from '../model.ts';
import { embeddingProgress } from '../progress.ts';
import { UsageError } from '../usage-error.ts';

export const distill: Command = defineCommand({
  name: 'distill',
  summary: 'Distil a model into a static one, with a vector per token: hundreds of times as fast, but less accurate.',
  args: {
    model: modelPositional,
    output: { type: 'string', alias: 'o', required: true, valueHint: 'DIR', description: 'The output folder.' },
    dimension: { type: 'string', default: '256', valueHint: 'N', description: 'Dimension of the vectors.' },
    texts: {
      type: 'string',
      valueHint: 'FILE',
      description:
        "Texts like those that will be embedded, to count token frequencies. Default: frequencies by Zipf's law.",
    },
    column: { type: 'string', default: 'text', valueHint: 'NAME', description: 'The text column of that file.' },
    revision: modelArguments.revision,
    ...backendArguments,
  },
  examples: [
    {
      line: 'sentvec distill sentence-transformers/all-MiniLM-L6-v2 -o static',
      does: 'A static model of dimension 256',
    },
    { line: 'sentvec distill ./my-model -o static --texts reviews.jsonl', does: 'Token weights from your own texts' },
  ],
  notes: [
    'The output is a sentence-transformers folder with a StaticEmbedding. Fine-tune it with `sentvec train` to improve it.',
  ],
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
        text: `${args.output}: a static model of ${embedder.model.name}, with vectors of dimension ${size}`,
        json: { model: embedder.model.name, output: args.output, dimension: size },
      });
    });
  },
});
