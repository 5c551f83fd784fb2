// `sentvec label`: labels texts with the vectors or scores of a teacher, for distillation.
import { pairwiseSimilarity, rowOf, type Embedder, type Matrix, type Reranker, type TextPair } from '@sentvec/core';
import { type Command, defineCommand } from '../command.ts';
import { backendArguments, modelArguments, withTeacher } from '../model.ts';
import { embeddingProgress } from '../progress.ts';
import { UsageError } from '../usage-error.ts';

export const label: Command = defineCommand({
  name: 'label',
  summary: 'Label texts with the vectors or scores of a teacher model, to train a smaller model by distillation.',
  args: {
    file: { type: 'positional', required: true, description: 'CSV, TSV, JSON lines or Parquet with texts in columns.' },
    output: {
      type: 'string',
      alias: 'o',
      required: true,
      valueHint: 'FILE',
      description: 'The output: JSON lines with the columns and the label.',
    },
    ...modelArguments,
    model: {
      type: 'string',
      alias: 'm',
      required: true,
      valueHint: 'TEACHER',
      description:
        'The teacher. An embedder gives vectors; a reranker gives scores of the first text with each other text.',
    },
    columns: {
      type: 'string',
      required: true,
      valueHint: 'NAME,…',
      description: 'The text columns in the order that the loss expects, for example query, positive, negatives.',
    },
    label: { type: 'string', default: 'label', valueHint: 'NAME', description: 'The name of the label in the output.' },
    vectors: {
      type: 'enum',
      options: ['first', 'all'],
      default: 'first',
      description:
        'The vectors of an embedder that are written: that of the first text, or those of all texts, concatenated.',
    },
    scores: {
      type: 'boolean',
      description:
        'With an embedder, write the similarities of the first text with each other text instead of vectors.',
    },
    raw: { type: 'boolean', description: 'With a reranker, write logits, without its activation.' },
    prompt: { type: 'string', valueHint: 'NAME', description: "Name of one of the teacher's prompts." },
    ...backendArguments,
  },
  examples: [
    {
      line: 'sentvec label texts.jsonl -m BAAI/bge-large-en-v1.5 --columns text -o labelled.jsonl',
      does: 'Vectors for MSELoss and EmbedDistillLoss',
    },
    {
      line: 'sentvec label pairs.jsonl -m ./teacher --columns question,answer --vectors all -o guided.jsonl',
      does: 'Vectors of both texts for GISTEmbedLoss',
    },
    {
      line: 'sentvec label triplets.jsonl -m ./reranker --columns anchor,positive,negative_1 --raw -o scored.jsonl',
      does: 'Scores for MarginMSELoss and DistillKLDivLoss',
    },
  ],
  notes: [
    'With two columns, the label is one score; with more, a list of scores. With --scores, the first column is embedded as queries and the others as documents, if the teacher distinguishes them.',
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    if (positionals.length > 1) throw new UsageError(`Name one file of texts, not ${positionals.length}.`);
    const columns = args.columns.split(',').map((name) => name.trim());
    if (columns.includes(args.label))
      throw new UsageError(`--label ${args.label} is a text column. Choose another name for the label.`);
    const [{ createTemporaryFile }, { float32Text, readTable }] = await Promise.all([
      import('@sentvec/platform/node'),
      import('@sentvec/corpus'),
    ]);
    const { columns: texts } = await readTable({ file: args.file, columns });
    const rows = texts[0]!.length;
    const { vectors, scores, raw, prompt } = args;
    const options: LabelOptions = { vectors, scores: scores === true, raw: raw === true, prompt, signal };
    await withTeacher(args, context, async (teacher) => {
      const labelRows = labelsOf(teacher, columns, options);
      const file = await createTemporaryFile(args.output, { doing: 'Writing the labels' });
      const progress = await embeddingProgress();
      let tokens = 0;
      try {
        for (let start = 0; start < rows; start += rowsAtOnce) {
          const some = texts.map((column) => column.slice(start, start + rowsAtOnce));
          const found = await labelRows(some, (added) => (tokens += added));
          const lines = found.map((numbers, row) => {
            const fields = columns.map(
              (name, column) => `${JSON.stringify(name)}:${JSON.stringify(some[column]![row])}`,
            );
            const value = Array.from(numbers, (number) => float32Text(Math.fround(number)));
            const text = isOneNumber(teacher, columns, options) ? value[0]! : `[${value.join(',')}]`;
            return `{${[...fields, `${JSON.stringify(args.label)}:${text}`].join(',')}}\n`;
          });
          await file.write(Buffer.from(lines.join('')));
          const done = start + found.length;
          progress.update({ rows: done, tokens, fraction: done / rows });
        }
        await file.commit();
      } catch (error) {
        await file.abort();
        throw error;
      } finally {
        progress.stop();
      }
      const what = givesScores(teacher, options) ? 'scores' : 'vectors';
      await context.print({
        text: `${rows} rows with the ${what} of ${teacher.model.name} as ${JSON.stringify(args.label)}, in ${args.output}`,
        json: { output: args.output, model: teacher.model.name, rows, labels: what },
      });
    });
  },
});

/** How many rows' labels are in memory at once. */
const rowsAtOnce = 1024;

interface LabelOptions {
  readonly vectors: 'first' | 'all';
  readonly scores: boolean;
  readonly raw: boolean;
  readonly prompt: string | undefined;
  readonly signal: AbortSignal;
}

/** Maps text columns to the label of each row. */
type LabelRows = (
  columns: readonly (readonly string[])[],
  onTokens: (tokens: number) => void,
) => Promise<readonly ArrayLike<number>[]>;

function isReranker(teacher: Embedder | Reranker): teacher is Reranker {
  return 'score' in teacher;
}

function givesScores(teacher: Embedder | Reranker, { scores }: LabelOptions): boolean {
  return scores || isReranker(teacher);
}

function isOneNumber(teacher: Embedder | Reranker, columns: readonly string[], options: LabelOptions): boolean {
  return givesScores(teacher, options) && columns.length === 2;
}

/** @throws UsageError for columns, options or a teacher that cannot be combined */
function labelsOf(teacher: Embedder | Reranker, columns: readonly string[], options: LabelOptions): LabelRows {
  if (givesScores(teacher, options) && columns.length < 2)
    throw new UsageError(
      'Scores need at least two columns, but --columns has one: the first text is scored with each other text.',
    );
  if (isReranker(teacher)) {
    if (options.vectors === 'all')
      throw new UsageError(`${teacher.model.name} is a reranker, which gives scores. Remove --vectors.`);
    if (teacher.labels.length !== 1)
      throw new UsageError(
        `${teacher.model.name} has several labels (${teacher.labels.join(', ')}). Use a reranker with one score.`,
      );
    return scoresOf(teacher, options);
  }
  if (options.raw) throw new UsageError(`${teacher.model.name} is an embedder, which has no activation. Remove --raw.`);
  return options.scores ? similaritiesOf(teacher, options) : vectorsOf(teacher, options);
}

const scoresOf =
  (reranker: Reranker, { raw, prompt, signal }: LabelOptions): LabelRows =>
  async ([first = [], ...others], onTokens) => {
    const pairs = first.flatMap((text, row) => others.map((column): TextPair => [text, column[row]!]));
    const counted = tokenCounter(onTokens);
    const activation = raw ? ('Identity' as const) : undefined;
    const { scores } = await reranker.score(pairs, { activation, prompt, signal, onProgress: counted });
    return first.map((_, row) => scores.data.subarray(row * others.length, (row + 1) * others.length));
  };

const similaritiesOf =
  (embedder: Embedder, { prompt, signal }: LabelOptions): LabelRows =>
  async ([first = [], ...others], onTokens) => {
    const embed = async (texts: readonly string[], as: 'query' | 'document') => {
      const role = prompt === undefined ? { as } : { prompt };
      return (await embedder.embed(texts, { ...role, signal, onProgress: tokenCounter(onTokens) })).vectors;
    };
    const queries = await embed(first, 'query');
    const found: Float64Array[] = [];
    for (const column of others)
      found.push(pairwiseSimilarity(queries, await embed(column, 'document'), embedder.similarityFunction));
    return first.map((_, row) => found.map((similarities) => similarities[row]!));
  };

const vectorsOf =
  (embedder: Embedder, { vectors: which, prompt, signal }: LabelOptions): LabelRows =>
  async (columns, onTokens) => {
    const matrices: Matrix[] = [];
    for (const texts of which === 'all' ? columns : columns.slice(0, 1)) {
      const options = { prompt, signal, onProgress: tokenCounter(onTokens) };
      matrices.push((await embedder.embed(texts, options)).vectors);
    }
    return columns[0]!.map((_, row) => matrices.flatMap((matrix) => [...rowOf(matrix, row)]));
  };

/** Converts a progress with total tokens of a call into increments. */
function tokenCounter(onTokens: (added: number) => void): (progress: { readonly tokens: number }) => void {
  let before = 0;
  return ({ tokens }) => {
    onTokens(tokens - before);
    before = tokens;
  };
}
