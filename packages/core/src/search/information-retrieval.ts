// Evaluates retrieval against known relevant documents: the metrics of given rankings, or of a vector search.
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { gatherRows } from './matrix-rows.ts';
import { semanticSearch } from './semantic-search.ts';
import type { Matrix, SimilarityFunction } from '../types.ts';
import { checkMatrix, checkNumbers, checkSameCount } from './vector-checks.ts';

/** A retrieval task: queries, a corpus, and which of its documents are relevant to which query. */
export interface InformationRetrievalTask {
  readonly queries: Matrix;
  /** An id for each row of `queries`. */
  readonly queryIds: readonly string[];
  readonly corpus: Matrix;
  /** A unique id for each row of `corpus`. */
  readonly corpusIds: readonly string[];
  /**
   * For each query id, the ids of its relevant documents. Queries without relevant documents are ignored by all
   * metrics; documents that are not in the corpus count as not found.
   */
  readonly relevant: Readonly<Record<string, readonly string[]>>;
}

/**
 * Options of {@link retrievalMetrics}: the values of k for each metric, that is, how many of the first documents it
 * considers.
 */
export interface RetrievalMetricOptions {
  /** @default 1, 3, 5, 10 */
  readonly accuracyAtK?: readonly number[] | undefined;
  /** @default 1, 3, 5, 10 */
  readonly precisionRecallAtK?: readonly number[] | undefined;
  /** @default 10 */
  readonly ndcgAtK?: readonly number[] | undefined;
  /** @default 10 */
  readonly mrrAtK?: readonly number[] | undefined;
  /** @default 100 */
  readonly mapAtK?: readonly number[] | undefined;
}

/** Options of {@link informationRetrieval}. */
export interface InformationRetrievalOptions extends RetrievalMetricOptions {
  /** @default cosine and dot */
  readonly similarities?: readonly SimilarityFunction[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The ranking for one query, with its relevant documents. */
export interface JudgedRanking {
  /** The retrieved documents, by id or row, best first, without duplicates. */
  readonly found: readonly (string | number)[];
  /** All relevant documents, by the same ids or rows; at least one. */
  readonly relevant: ReadonlySet<string | number>;
}

/** A metric of one query, computed from the relevance of each hit (best first) and the number of relevant documents. */
type Metric = (hits: readonly boolean[], relevantCount: number, k: number) => number;

/** The metrics, with the names of sentence-transformers. Each is averaged over the queries. */
const metrics: Readonly<Record<string, Metric>> = {
  accuracy: (hits, _, k) => (countRelevant(hits, k) > 0 ? 1 : 0),
  precision: (hits, _, k) => countRelevant(hits, k) / k,
  recall: (hits, relevantCount, k) => countRelevant(hits, k) / relevantCount,
  ndcg: (hits, relevantCount, k) =>
    discountedGain(hits, k) /
    discountedGain(
      Array.from({ length: relevantCount }, () => true),
      k,
    ),
  mrr: (hits, _, k) => 1 / (1 + firstRelevant(hits, k)),
  map: (hits, relevantCount, k) => precisionSum(hits, k) / Math.min(k, relevantCount),
};

/** Names of the options of {@link retrievalMetrics}, for callers that separate them from their own options. */
export const retrievalMetricNames: OptionNames<RetrievalMetricOptions> = {
  accuracyAtK: true,
  precisionRecallAtK: true,
  ndcgAtK: true,
  mrrAtK: true,
  mapAtK: true,
};

/**
 * Retrieval metrics of rankings: accuracy (whether one of the first k documents is relevant), precision, recall,
 * normalized discounted cumulative gain, mean reciprocal rank, and mean average precision (divided by min(k, relevant
 * documents)). Relevance is binary. Same metrics as `InformationRetrievalEvaluator` of sentence-transformers.
 * @param rankings for each query at least {@link deepestRank} documents, or all that were found
 * @returns means over the queries, named `<metric>@<k>`, for example `ndcg@10`
 * @throws SentvecError `invalid-argument`, also for a query without relevant documents, and for a ranking that contains
 * a document twice
 */
export function retrievalMetrics(
  rankings: readonly JudgedRanking[],
  options: RetrievalMetricOptions = {},
): Record<string, number> {
  checkOptionNames('retrievalMetrics()', options, retrievalMetricNames);
  const atK = countsOfMetrics(options);
  if (rankings.length === 0 || rankings.some(({ relevant }) => relevant.size === 0)) throw nothingRelevantError();
  const duplicate = rankings.findIndex(({ found }) => new Set(found).size < found.length);
  if (duplicate !== -1) throw new SentvecError('invalid-argument', `Ranking ${duplicate} contains a document twice.`);
  const hits = rankings.map(({ found, relevant }) => found.map((id) => relevant.has(id)));
  const results: Record<string, number> = {};
  for (const [name, counts] of Object.entries(atK)) {
    for (const k of counts) {
      const sum = hits.reduce(
        (total, each, query) => total + metrics[name]!(each, rankings[query]!.relevant.size, k),
        0,
      );
      results[`${name}@${k}`] = sum / rankings.length;
    }
  }
  return results;
}

/**
 * The largest k of all metrics, that is, how many documents a ranking needs.
 * @throws SentvecError `invalid-argument`
 */
export function deepestRank(options: RetrievalMetricOptions = {}): number {
  return Math.max(...Object.values(countsOfMetrics(options)).flat());
}

/**
 * The {@link retrievalMetrics} of a vector search. Equal scores are ranked by corpus id, in ascending string order.
 * @returns metrics named `<similarity>_<metric>@<k>`, for example `cosine_ndcg@10`
 * @throws SentvecError `invalid-argument`, `aborted`
 */
export async function informationRetrieval(
  task: InformationRetrievalTask,
  options: InformationRetrievalOptions = {},
): Promise<Record<string, number>> {
  const optionNames = { ...retrievalMetricNames, similarities: true, signal: true } as const;
  checkOptionNames('informationRetrieval()', options, optionNames);
  const { similarities = ['cosine', 'dot'], signal, ...metricOptions } = options;
  const topK = deepestRank(metricOptions);
  const judged = judgedQueries(task);
  const corpus = sortedById(task);
  const results: Record<string, number> = {};
  for (const similarity of similarities) {
    const hits = await semanticSearch(judged.queries, corpus.blocks(), { topK, similarity, signal });
    const rankings = hits.map((found, query) => ({
      found: found.map(({ row }) => corpus.ids[row]!),
      relevant: judged.relevant[query]!,
    }));
    for (const [name, value] of Object.entries(retrievalMetrics(rankings, metricOptions)))
      results[`${similarity}_${name}`] = value;
  }
  return results;
}

function countsOfMetrics(options: RetrievalMetricOptions): Record<string, readonly number[]> {
  const precisionRecall = options.precisionRecallAtK ?? [1, 3, 5, 10];
  const counts = {
    accuracy: options.accuracyAtK ?? [1, 3, 5, 10],
    precision: precisionRecall,
    recall: precisionRecall,
    ndcg: options.ndcgAtK ?? [10],
    mrr: options.mrrAtK ?? [10],
    map: options.mapAtK ?? [100],
  };
  for (const [name, list] of Object.entries(counts)) for (const k of list) checkCount(k, `The k of ${name}@k`);
  return counts;
}

function nothingRelevantError(): SentvecError {
  return new SentvecError('invalid-argument', 'No query has a relevant document, so there is nothing to measure.');
}

function judgedQueries(task: InformationRetrievalTask): {
  readonly queries: Matrix;
  readonly relevant: readonly ReadonlySet<string>[];
} {
  const { queries, queryIds } = task;
  checkMatrix(queries, 'The queries');
  checkSameCount(queries.rows, 'queries', queryIds.length, 'queryIds');
  const judged = queryIds.flatMap((id, row) => {
    const relevant = new Set(Object.hasOwn(task.relevant, id) ? task.relevant[id] : []);
    return relevant.size > 0 ? [{ row, relevant }] : [];
  });
  if (judged.length === 0) throw nothingRelevantError();
  const data = gatherRows(
    queries,
    judged.map(({ row }) => row),
  );
  return { queries: data, relevant: judged.map(({ relevant }) => relevant) };
}

/**
 * The corpus sorted by id, since a search returns equal scores in the order of rows. It is copied one block at a time.
 */
function sortedById(task: InformationRetrievalTask): { readonly ids: readonly string[]; blocks(): Iterable<Matrix> } {
  const { corpus, corpusIds } = task;
  checkMatrix(corpus, 'The corpus');
  // A search skips rows with NaN or infinity, which an evaluation would silently count as misses.
  checkNumbers(corpus, 'The corpus');
  checkSameCount(corpus.rows, 'corpus', corpusIds.length, 'corpusIds');
  const order = corpusIds.map((_, row) => row).sort((a, b) => (corpusIds[a]! < corpusIds[b]! ? -1 : 1));
  const ids = order.map((row) => corpusIds[row]!);
  const duplicate = ids.find((id, i) => i > 0 && id === ids[i - 1]);
  if (duplicate !== undefined)
    throw new SentvecError('invalid-argument', `Two rows of the corpus have the id ${duplicate}.`);
  return {
    ids,
    *blocks() {
      for (let from = 0; from < order.length; from += 1024) yield gatherRows(corpus, order.slice(from, from + 1024));
    },
  };
}

function countRelevant(hits: readonly boolean[], k: number): number {
  return hits.slice(0, k).filter(Boolean).length;
}

/** Infinity when none of the first k is relevant. */
function firstRelevant(hits: readonly boolean[], k: number): number {
  const first = hits.slice(0, k).indexOf(true);
  return first === -1 ? Infinity : first;
}

function discountedGain(hits: readonly boolean[], k: number): number {
  return hits.slice(0, k).reduce((sum, relevant, i) => (relevant ? sum + 1 / Math.log2(i + 2) : sum), 0);
}

function precisionSum(hits: readonly boolean[], k: number): number {
  let [found, sum] = [0, 0];
  hits.slice(0, k).forEach((relevant, i) => {
    if (relevant) sum += ++found / (i + 1);
  });
  return sum;
}
