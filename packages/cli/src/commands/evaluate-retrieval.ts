// `sentvec evaluate retrieval`: measures each stage of a search on the same task.
import type { Embedder, MultiVectorEmbedder, SparseEmbedder } from '@sentvec/core';
import type { FirstStage, RetrievalTask } from '@sentvec/training';
import type { ParsedArgs } from 'citty';
import { type Command, defineArguments, defineCommand } from '../command.ts';
import { embedWithProgress } from '../embed-with-progress.ts';
import { backendArguments, loadRanker, modelArguments, withSearchModel } from '../model.ts';
import { wholeNumber } from '../parse-arguments.ts';
import { queryProgress } from '../progress.ts';
import { renderTable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

/** A task with its name in the result. */
interface NamedTask extends RetrievalTask {
  readonly name: string;
}

const flags = defineArguments({
  'data…': {
    type: 'positional',
    required: true,
    description:
      'A folder with corpus.jsonl, queries.jsonl and qrels/test.tsv (BEIR), or with folders corpus, queries and qrels of ' +
      'Parquet files (NanoBEIR); or a file (CSV, TSV, JSON lines, Parquet) of pairs: a query and a relevant document.',
  },
  split: {
    type: 'string',
    valueHint: 'NAME,NAME',
    description: 'Splits of a folder. Default: test, or all splits if each has its own corpus.',
  },
  columns: {
    type: 'string',
    valueHint: 'QUERY,DOCUMENT',
    description:
      'Names of the columns of a file, or their indices from 0 in a CSV without a header. Default: query,document.',
  },
  'no-header': { type: 'boolean', description: 'The first row of a CSV is data.' },
  distractors: {
    type: 'string',
    valueHint: 'FILE',
    description:
      'Further texts to search, which are not relevant for any query: one per line, or the column text of a table.',
  },
  hybrid: { type: 'boolean', description: 'Also search by words (BM25), and combine both rankings.' },
  rerank: {
    type: 'string',
    valueHint: 'MODEL',
    description: 'A reranker or a late-interaction model, which reorders the best documents.',
  },
  candidates: {
    type: 'string',
    valueHint: 'N',
    description: 'How many documents are fused and reranked. Default: 100.',
  },
  'at-k': {
    type: 'string',
    valueHint: 'K,K',
    description:
      'The values of k for all metrics. Default: 1, 3, 5, 10 for accuracy, precision and recall, 10 for NDCG and MRR, 100 for MAP.',
  },
  ...modelArguments,
  ...backendArguments,
  prompt: {
    type: 'string',
    valueHint: 'NAME',
    description:
      "Name of one of the model's prompts, put before each text. Default: those for queries and documents, if it has any.",
  },
});

export const evaluateRetrieval: Command = defineCommand({
  name: 'evaluate retrieval',
  summary: 'Measure how well a search finds relevant documents (NDCG, MRR, recall and others, for each stage).',
  args: flags,
  examples: [
    {
      line: 'sentvec evaluate retrieval ./scifact --model BAAI/bge-small-en-v1.5',
      does: 'A task in BEIR format',
    },
    {
      line: 'sentvec evaluate retrieval ./NanoBEIR-en --hybrid --rerank cross-encoder/ms-marco-MiniLM-L6-v2',
      does: 'All tasks of a folder and their mean: dense, BM25, hybrid and reranked',
    },
    {
      line: 'sentvec evaluate retrieval questions.csv --columns question,answer',
      does: 'Searches each question among all answers',
    },
  ],
  notes: [
    'The model may be dense, sparse, or a late-interaction model. Metrics are those of sentence-transformers: a ' +
      'document is relevant or not; grades of relevance are not used.',
  ],
  async run(context) {
    const { args, positionals, signal } = context;
    const candidates = wholeNumber(args.candidates, '--candidates');
    const atK = args['at-k']?.split(',').map((k) => wholeNumber(k.trim(), '--at-k')!);
    const depths = atK && { accuracyAtK: atK, precisionRecallAtK: atK, ndcgAtK: atK, mrrAtK: atK, mapAtK: atK };
    const tasks: NamedTask[] = [];
    for (const name of positionals) tasks.push(...(await readTasks(name, context)));
    const distractors = args.distractors === undefined ? undefined : await readDistractors(args.distractors, signal);
    const { evaluateSearch, bm25Stage } = await import('@sentvec/training');
    await withSearchModel(args, context, async (model) => {
      const { rerank } = args;
      const reranker = rerank === undefined ? undefined : await loadRanker({ ...args, model: rerank }, context);
      try {
        const results: { name: string; queries: number; documents: number; metrics: Record<string, number> }[] = [];
        let sum = 0;
        for (const task of tasks) {
          const stages = [await stageOf(model, signal, args), ...(args.hybrid ? [bm25Stage()] : [])];
          const progress = await queryProgress();
          const options = { ...depths, hybrid: args.hybrid, reranker, candidates, distractors, signal };
          const { score, metrics } = await evaluateSearch(task, stages, {
            ...options,
            onProgress: progress.update,
          }).finally(progress.stop);
          sum += score;
          const [queries, documents] = [Object.keys(task.queries).length, Object.keys(task.corpus).length];
          results.push({ name: task.name, queries, documents, metrics: { ...metrics } });
        }
        const metrics = meanOf(results.map((result) => result.metrics));
        const json = { model: model.model.name, score: sum / results.length, metrics, tasks: results };
        await context.print({ text: render(results, metrics), json });
      } finally {
        await reranker?.dispose();
      }
    });
  },
});

type Flags = ParsedArgs<typeof flags>;

/** Reads the tasks of a folder, or the single task of a file. */
async function readTasks(
  name: string,
  { args, note, signal }: { readonly args: Flags; readonly note: (text: string) => void; readonly signal: AbortSignal },
): Promise<NamedTask[]> {
  const { stat } = await import('node:fs/promises');
  const { readRetrievalData, readTable } = await import('@sentvec/corpus');
  if ((await stat(name).catch(() => undefined))?.isDirectory()) {
    if (args.columns !== undefined) throw new UsageError(`--columns is for files; ${name} is a folder.`);
    const splits = args.split?.split(',').map((split) => split.trim());
    const tasks = await readRetrievalData(name, { splits, signal });
    for (const { name: split, missing, missingQueries } of tasks) {
      if (missing > 0)
        note(`Note: ${missing} judged documents of ${split} are not in the corpus; they count as not found.`);
      if (missingQueries > 0)
        note(`Note: ${missingQueries} judged queries of ${split} are missing or have no text; they are left out.`);
    }
    return tasks;
  }
  if (args.split !== undefined) throw new UsageError(`--split is for folders; ${name} is a file.`);
  const columns = args.columns?.split(',').map((column) => column.trim()) ?? ['query', 'document'];
  if (columns.length !== 2) throw new UsageError('--columns needs 2 columns, for example --columns query,document.');
  const { retrievalTask } = await import('@sentvec/training');
  const [queries = [], documents = []] = (await readTable({ file: name, columns, header: !args['no-header'] })).columns;
  return [{ name, ...retrievalTask(queries, documents) }];
}

async function readDistractors(file: string, signal: AbortSignal): Promise<string[]> {
  const { sampleTexts } = await import('@sentvec/corpus');
  return sampleTexts({ file, count: Infinity, signal });
}

async function stageOf(
  model: Embedder | SparseEmbedder | MultiVectorEmbedder,
  signal: AbortSignal,
  choice: Parameters<typeof embedWithProgress>[2],
): Promise<FirstStage> {
  const { denseStage, lateInteractionStage, sparseStage } = await import('@sentvec/training');
  if (model.kind === 'embedder')
    return denseStage(embedWithProgress(model, signal, choice), [model.similarityFunction]);
  const given = Object.entries(choice ?? {}).find(([name, value]) => spaceFlags.has(name) && value !== undefined);
  if (given !== undefined)
    throw new UsageError(
      `--${given[0]} is only for models with one dense vector per text, which ${model.model.name} is not.`,
    );
  return model.kind === 'sparse' ? sparseStage(model) : lateInteractionStage(model);
}

const spaceFlags: ReadonlySet<string> = new Set(['prompt', 'route', 'task']);

function meanOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const names = Object.keys(all[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, all.reduce((sum, metrics) => sum + metrics[name]!, 0) / all.length]),
  );
}

/** A table per task, with a line per metric and a column per stage. Several tasks also get a table of the means. */
function render(
  results: readonly { name: string; queries: number; documents: number; metrics: Readonly<Record<string, number>> }[],
  means: Readonly<Record<string, number>>,
): string {
  const tables = results.map(({ name, queries, documents, metrics }) =>
    renderStages(`${name}: ${queries} queries, ${documents} documents`, metrics),
  );
  return [...tables, ...(results.length > 1 ? [renderStages(`mean of ${results.length} tasks`, means)] : [])].join(
    '\n\n',
  );
}

function renderStages(title: string, metrics: Readonly<Record<string, number>>): string {
  const split = Object.keys(metrics).map((name) => [
    name.slice(0, name.indexOf('_')),
    name.slice(name.indexOf('_') + 1),
  ]);
  const stages = [...new Set(split.map(([stage]) => stage!))];
  const rows = [...new Set(split.map(([, metric]) => metric!))].map((metric) => [
    metric,
    ...stages.map((stage) => metrics[`${stage}_${metric}`]!.toFixed(4)),
  ]);
  return `${title}\n${renderTable([{ title: '' }, ...stages.map((stage) => ({ title: stage, align: 'right' as const }))], rows)}`;
}
