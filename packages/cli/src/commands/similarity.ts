// `sentvec similarity`.
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, roleArgument, withModel } from '../model.ts';
import { excerpt, outputWidth, renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const similarity: Command = defineCommand({
  name: 'similarity',
  summary: 'Print a matrix of the similarities of some texts.',
  args: {
    'text…': { type: 'positional', required: true, description: 'Two texts or more.' },
    ...modelArguments,
    ...backendArguments,
    as: { ...roleArgument, description: 'Compare the texts as queries or as documents. Default: neither.' },
    prompt: {
      type: 'string',
      valueHint: 'NAME',
      description: "Name of one of the model's prompts, put before each text.",
    },
    function: {
      type: 'enum',
      options: ['cosine', 'dot', 'euclidean', 'manhattan'],
      description: 'The similarity function; distances are negative. Default: that of the model.',
    },
  },
  examples: [
    { line: 'sentvec similarity "A cat sleeps." "A kitten naps." "Rates rose."', does: 'Compare three texts' },
    {
      line: 'sentvec similarity --json "Good morning" "Guten Morgen" --model ./my-model',
      does: 'Your own model; output in JSON',
    },
  ],
  async run(context) {
    const { args, positionals: texts } = context;
    if (texts.length < 2) throw new UsageError('Give at least two texts to compare.');
    const core = await import('@sentvec/core');
    await withModel(args, context, async (embedder) => {
      const measure = args.function ?? embedder.similarityFunction;
      const { as, prompt, route, task } = args;
      const { vectors } = await embedder.embed(texts, { as, prompt, route, task, signal: context.signal });
      const similarities = core.similarity(vectors, vectors, measure);
      const matrix = texts.map((_, row) => [...core.rowOf(similarities, row)]);
      await context.print({
        text: renderMatrix(texts, matrix),
        json: { model: embedder.model.name, similarity: measure, texts, matrix },
      });
    });
  },
});

function renderMatrix(texts: readonly string[], matrix: readonly (readonly number[])[]): string {
  const numbers = texts.map((_, index) => String(index + 1));
  const width = Math.max(20, outputWidth() - texts.length * 9 - 6);
  return renderTable(
    [{ title: '', align: 'right' }, ...numbers.map((title) => ({ title, align: 'right' as const })), { title: 'text' }],
    matrix.map((scores, row) => [
      numbers[row]!,
      ...scores.map((score) => score.toFixed(4)),
      excerpt(texts[row]!, width),
    ]),
  );
}
