// `sentvec evaluate sts`: semantic textual similarity, on pairs of texts with gold scores.
import type { Matrix } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import type { ColumnName } from '@sentvec/corpus';
import { type Command, defineCommand } from '../command.ts';
import { embedWithProgress } from '../embed-with-progress.ts';
import { backendArguments, modelArguments, withModel } from '../model.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

const measures = ['cosine', 'dot', 'euclidean', 'manhattan'] as const;

export const evaluateSts: Command = defineCommand({
  name: 'evaluate sts',
  summary: "Correlate the model's similarities with gold scores (Spearman and Pearson).",
  args: {
    file: {
      type: 'positional',
      required: true,
      description: 'CSV, TSV, JSON lines or Parquet: a text, another text, a score.',
    },
    ...modelArguments,
    ...backendArguments,
    columns: {
      type: 'string',
      valueHint: 'TEXT,TEXT,SCORE',
      description: 'Names of the columns. Default: the first three; for JSON lines sentence1,sentence2,score.',
    },
    prompt: {
      type: 'string',
      valueHint: 'NAME',
      description: "Name of one of the model's prompts, put before each text.",
    },
  },
  examples: [
    { line: 'sentvec evaluate sts stsb-en-dev.csv', does: 'The default model on STS-B' },
    {
      line: 'sentvec evaluate sts pairs.jsonl --columns a,b,label --model ./my-model --json',
      does: 'Your own model on your own pairs',
    },
  ],
  async run(context) {
    const { args, positionals } = context;
    const { file } = args;
    if (positionals.length > 1) throw new UsageError(`Name one file of scored pairs, not ${positionals.length}.`);
    const { first, second, scores } = await readScoredPairs(file, parseColumns(args.columns));
    const { embeddingSimilarity } = await import('@sentvec/core');
    await withModel(args, context, async (embedder) => {
      const vectors = await embedWithProgress(embedder, context.signal, args)([...first, ...second]);
      const [a, b] = halves(vectors);
      const metrics = embeddingSimilarity(a, b, scores);
      await context.print({
        text: renderTable(
          [
            { title: `${scores.length} pairs` },
            { title: 'Spearman', align: 'right' },
            { title: 'Pearson', align: 'right' },
          ],
          measures.map((name) => [name, metrics[`spearman_${name}`].toFixed(4), metrics[`pearson_${name}`].toFixed(4)]),
        ),
        json: { model: embedder.model.name, file, pairs: scores.length, ...metrics },
      });
    });
  },
});

/** The first and the second half of the rows. */
function halves({ data, rows, cols }: Matrix): [Matrix, Matrix] {
  const middle = (rows / 2) * cols;
  return [
    { data: data.subarray(0, middle), rows: rows / 2, cols },
    { data: data.subarray(middle), rows: rows / 2, cols },
  ];
}

/** Pairs of texts with gold scores. */
interface ScoredPairs {
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly scores: readonly number[];
}

type PairColumns = readonly [first: ColumnName, second: ColumnName, score: ColumnName];

async function readScoredPairs(file: string, named: PairColumns | undefined): Promise<ScoredPairs> {
  const { readTable } = await import('@sentvec/corpus');
  const defaultColumns = /\.(jsonl|ndjson)(\.gz)?$/i.test(file)
    ? (['sentence1', 'sentence2', 'score'] as const)
    : ([0, 1, 2] as const);
  const [one, two, label] = named ?? defaultColumns;
  const { columns, labels = [] } = await readTable({ file, columns: [one, two], label, header: named ? true : 'auto' });
  const [first = [], second = []] = columns;
  const list = labels.findIndex((score) => !Number.isFinite(score));
  if (list >= 0) {
    const message = `${file}, row ${list}: the score is ${JSON.stringify(labels[list])}, not a number. Name the columns with --columns.`;
    throw new SentvecError('invalid-corpus', message, { file, row: list });
  }
  if (labels.length < 2) {
    const message = `${file} has ${labels.length} scored pairs; a correlation needs at least 2.`;
    throw new SentvecError('invalid-corpus', message, { file });
  }
  return { first, second, scores: labels.map(Number) };
}

function parseColumns(value: string | undefined): PairColumns | undefined {
  if (value === undefined) return undefined;
  const names = value.split(',').map((name) => name.trim());
  if (names.length === 3 && names.every((name) => name !== '')) return [names[0]!, names[1]!, names[2]!];
  throw new UsageError(
    `--columns needs two text columns and a score, for example --columns sentence1,sentence2,score; it is ${JSON.stringify(value)}.`,
  );
}
