// Evaluates a search against known relevant documents: each retrieval metric, of any rankings and of a search by vectors.
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { gatherRows } from './matrix-rows.ts';
import { semanticSearch } from './semantic-search.ts';
import type { Matrix, SimilarityFunction } from '../types.ts';
import { checkMatrix, checkNumbers, checkSameCount } from './vector-checks.ts';

/** A retrieval task: which documents of a corpus answer which queries. */
export interface InformationRetrievalTask {
  readonly queries: Matrix;
  /** An id for each row of `queries`. */
  readonly queryIds: readonly string[];
  readonly corpus: Matrix;
  /** An id for each row of `corpus`, no two the same. */
  readonly corpusIds: readonly string[];
  /**
   * The ids of the documents that answer a query, by its id. Queries without any are left out of all metrics; documents
   * that are not in the corpus count as not found.
   */
  readonly relevant: Readonly<Record<string, readonly string[]>>;
}

/** Options of {@link retrievalMetrics}: how many of the best documents each metric looks at. */
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

/** What a search answered to one query, and what it should have. */
export interface JudgedRanking {
  /** Documents by their ids or rows, best first, each once. */
  readonly found: readonly (string | number)[];
  /** All documents that answer the query, named alike: at least one. */
  readonly relevant: ReadonlySet<string | number>;
}

/** A metric of one query: from whether each of its hits is relevant, best first, and how many documents are. */
type Metric = (hits: readonly boolean[], relevantCount: number, k: number) => number;

/** The names of sentence-transformers. Each metric is the mean over the queries. */
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

/** Names of the options of {@link retrievalMetrics}, for callers that have to tell them from options of their own. */
export const retrievalMetricNames: OptionNames<RetrievalMetricOptions> = {
  accuracyAtK: true,
  precisionRecallAtK: true,
  ndcgAtK: true,
  mrrAtK: true,
  mapAtK: true,
};

/**
 * How well rankings put what is relevant first: accuracy (whether any is among the first k), precision, recall, normalized
 * discounted cumulative gain, mean reciprocal rank, mean average precision (over min(k, relevant documents)). A document is
 * relevant or not; grades do not count. As `InformationRetrievalEvaluator` of sentence-transformers.
 * @param rankings of each query as many documents as {@link deepestRank} says, or all that were found
 * @returns means over the queries, named `<metric>@<k>`, as `ndcg@10`
 * @throws SentvecError `invalid-argument`, also for a query without a relevant document, and for a document that a ranking
 * has twice
 */
export function retrievalMetrics(
  rankings: readonly JudgedRanking[],
  options: RetrievalMetricOptions = {},
): Record<string, number> {
  checkOptionNames('retrievalMetrics()', options, retrievalMetricNames);
  const atK = countsOfMetrics(options);
  if (rankings.length === 0 || rankings.some(({ relevant }) => relevant.size === 0)) throw nothingRelevantError();
  const double = rankings.findIndex(({ found }) => new Set(found).size < found.length);
  if (double !== -1) throw new SentvecError('invalid-argument', `Ranking ${double} has a document twice.`);
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

/** The most documents of a ranking that any metric looks at. @throws SentvecError `invalid-argument` */
export function deepestRank(options: RetrievalMetricOptions = {}): number {
  return Math.max(...Object.values(countsOfMetrics(options)).flat());
}

/**
 * How well a search for the queries by their vectors finds their relevant documents: the {@link retrievalMetrics} of the
 * search. Equal scores are ranked by corpus id, ascending as strings.
 * @returns metrics named `<similarity>_<metric>@<k>`, as `cosine_ndcg@10`
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

/** The corpus in the order of its ids, in which a search keeps equal scores. It is copied a block at a time. */
function sortedById(task: InformationRetrievalTask): { readonly ids: readonly string[]; blocks(): Iterable<Matrix> } {
  const { corpus, corpusIds } = task;
  checkMatrix(corpus, 'The corpus');
  // A search passes over such rows; an evaluation would only find the model worse.
  checkNumbers(corpus, 'The corpus');
  checkSameCount(corpus.rows, 'corpus', corpusIds.length, 'corpusIds');
  const order = corpusIds.map((_, row) => row).sort((a, b) => (corpusIds[a]! < corpusIds[b]! ? -1 : 1));
  const ids = order.map((row) => corpusIds[row]!);
  const double = ids.find((id, i) => i > 0 && id === ids[i - 1]);
  if (double !== undefined) throw new SentvecError('invalid-argument', `Two rows of the corpus have the id ${double}.`);
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
