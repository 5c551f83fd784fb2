// The commands `sentvec evaluate triplet`, `classification` and `clustering`.
import type { Embedder } from '@sentvec/core';
import type { EmbedTexts, Evaluation } from '@sentvec/training';
import { type Command, defineCommand } from '../command.ts';
import { embedWithProgress } from '../embed-with-progress.ts';
import { backendArguments, modelArguments, withModel } from '../model.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

/** The properties of an evaluation command. */
interface EvaluationTask {
  /** The second word: `sentvec evaluate NAME`. */
  readonly name: string;
  readonly summary: string;
  /** Description of the files. */
  readonly files: string;
  readonly columns: readonly string[];
  /** Minimum and maximum number of files. */
  readonly count: readonly [least: number, most: number];
  readonly example: { readonly line: string; readonly does: string };
  /** @param tables the columns of each file */
  evaluate(
    embed: EmbedTexts,
    tables: readonly (readonly (readonly string[])[])[],
    embedder: Embedder,
  ): Promise<Evaluation>;
}

/** Makes a command that reads tables of texts, evaluates a model on them, and prints one metric per line. */
function evaluationCommand(task: EvaluationTask): Command {
  return defineCommand({
    name: `evaluate ${task.name}`,
    summary: task.summary,
    args: {
      file: { type: 'positional', required: true, description: task.files },
      ...modelArguments,
      ...backendArguments,
      columns: {
        type: 'string',
        valueHint: task.columns.join(',').toUpperCase(),
        description: `Names of the columns, or their indices from 0 in a CSV without a header. Default: ${task.columns.join(',')}.`,
      },
      'no-header': { type: 'boolean', description: 'The first row of a CSV is data.' },
      prompt: {
        type: 'string',
        valueHint: 'NAME',
        description: "Name of one of the model's prompts, put before each text. Default: the model's default.",
      },
    },
    examples: [task.example],
    async run(context) {
      const { args, positionals, signal } = context;
      const [least, most] = task.count;
      if (positionals.length < least || positionals.length > most) {
        throw new UsageError(
          `Name ${least === most ? least : `${least} to ${most}`} file${most > 1 ? 's' : ''}, not ${positionals.length}.`,
        );
      }
      const columns = args.columns?.split(',').map((name) => name.trim()) ?? task.columns;
      if (columns.length !== task.columns.length)
        throw new UsageError(
          `--columns needs ${task.columns.length} columns, for example --columns ${task.columns.join(',')}.`,
        );
      const { readTable } = await import('@sentvec/corpus');
      const tables: (readonly (readonly string[])[])[] = [];
      for (const file of positionals)
        tables.push((await readTable({ file, columns, header: !args['no-header'] })).columns);
      await withModel(args, context, async (embedder) => {
        const { score, metrics = {} } = await task.evaluate(
          embedWithProgress(embedder, signal, args),
          tables,
          embedder,
        );
        await context.print({
          text: renderTable(
            [{ title: 'metric' }, { title: '', align: 'right' }],
            Object.entries(metrics).map(([name, value]) => [name, value.toFixed(4)]),
          ),
          json: { model: embedder.model.name, files: positionals, score, metrics },
        });
      });
    },
  });
}

export const evaluateTriplet: Command = evaluationCommand({
  name: 'triplet',
  summary: 'Measure how often the positive is nearer to the anchor than the negative.',
  files: 'CSV, TSV, JSON lines or Parquet: an anchor, a positive, a negative.',
  columns: ['anchor', 'positive', 'negative'],
  count: [1, 1],
  example: {
    line: 'sentvec evaluate triplet triplets.jsonl --model ./my-model',
    does: 'The share of triplets whose positive is nearer',
  },
  async evaluate(embed, [table], embedder) {
    const { evaluateTriplets } = await import('@sentvec/training');
    const [anchors = [], positives = [], negatives = []] = table ?? [];
    return evaluateTriplets(embed, { anchors, positives, negatives }, embedder.similarityFunction);
  },
});

export const evaluateClassification: Command = evaluationCommand({
  name: 'classification',
  summary: 'Measure how well vectors separate classes (nearest neighbours and a linear probe).',
  files:
    'CSV, TSV, JSON lines or Parquet: a text and its class. The first file is for training the classifiers, the second for testing them; a single file is split: every fifth row is for testing.',
  columns: ['text', 'label'],
  count: [1, 2],
  example: {
    line: 'sentvec evaluate classification train.csv test.csv --columns text,category',
    does: 'Accuracy of both classifiers',
  },
  async evaluate(embed, [training, testing], embedder) {
    const { evaluateClassification: evaluate } = await import('@sentvec/training');
    const everyFifth = (_: string, row: number) => row % 5 === 4;
    const theOthers = (_: string, row: number) => row % 5 !== 4;
    const pick = (table: typeof training, keep?: (text: string, row: number) => boolean) => {
      const [texts = [], classes = []] = table ?? [];
      return keep ? { texts: texts.filter(keep), classes: classes.filter(keep) } : { texts, classes };
    };
    const train = testing ? pick(training) : pick(training, theOthers);
    const test = testing ? pick(testing) : pick(training, everyFifth);
    return evaluate(embed, train, test, { similarity: embedder.similarityFunction });
  },
});

export const evaluateClustering: Command = evaluationCommand({
  name: 'clustering',
  summary: 'Measure how well clusters match classes (V-measure of k-means).',
  files: 'CSV, TSV, JSON lines or Parquet: a text and its class.',
  columns: ['text', 'label'],
  count: [1, 1],
  example: {
    line: 'sentvec evaluate clustering intents.csv --columns text,category',
    does: 'Homogeneity, completeness and V-measure',
  },
  async evaluate(embed, [table]) {
    const { evaluateClustering: evaluate } = await import('@sentvec/training');
    const [texts = [], classes = []] = table ?? [];
    return evaluate(embed, { texts, classes });
  },
});
