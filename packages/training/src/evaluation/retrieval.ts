// Evaluates search as it is built: models of any kind, words, both fused, a reranker after them, each stage beside the
// others on the same task.
import {
  createBm25Index,
  createSparseIndex,
  deepestRank,
  fuseRankings,
  matrixOfText,
  retrievalMetricNames,
  retrievalMetrics,
  searchByMaxSimilarity,
  semanticSearch,
  SentvecError,
  throwIfAborted,
  type MultiVectorEmbedder,
  type RetrievalMetricOptions,
  type SearchHit,
  type SimilarityFunction,
  type SparseEmbedder,
} from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import { withPrompt, type EmbedTexts, type SearchPrompts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';

/** Texts by id, and which of the corpus answer which query. */
export interface RetrievalTask {
  readonly queries: Readonly<Record<string, string>>;
  readonly corpus: Readonly<Record<string, string>>;
  /** Ids of the corpus by the id of the query. Queries without any are left out of all metrics. */
  readonly relevant: Readonly<Record<string, readonly string[]>>;
}

/**
 * The task of finding, for each query, the documents that share a row with it. The documents of all rows are the
 * corpus; row i of both belongs together.
 */
export function retrievalTask(queries: readonly string[], documents: readonly string[]): RetrievalTask {
  const corpusIds = idsOf(documents);
  const queryIds = idsOf(queries);
  const relevant: Record<string, string[]> = {};
  for (const [row, query] of queries.entries())
    (relevant[queryIds.get(query)!] ??= []).push(corpusIds.get(documents[row]!)!);
  return { queries: byId(queryIds), corpus: byId(corpusIds), relevant };
}

/** An id for each different text. */
function idsOf(texts: readonly string[]): Map<string, string> {
  return new Map([...new Set(texts)].map((text, index) => [text, `#${index}`]));
}

function byId(ids: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...ids].map(([text, id]) => [id, text]));
}

/** A way to find documents. It gives one ranking for each of its names. */
export interface FirstStage {
  /** `cosine`, `dot`, `maxsim`, `bm25`: the prefixes of the names of its metrics. */
  readonly names: readonly string[];
  /**
   * @returns for each name and each query the best rows of the corpus, best first, of equal scores the lower row first
   */
  search(queries: readonly string[], corpus: CorpusBlocks): Promise<SearchHit[][][]>;
}

/** Documents as a {@link FirstStage} gets them. */
export interface CorpusBlocks {
  /** Documents of a ranking that count. */
  readonly topK: number;
  readonly signal: AbortSignal | undefined;
  /** May be iterated again and again. */
  readonly blocks: Iterable<readonly string[]>;
}

/** Documents whose vectors are held at once. */
const blockDocuments = 4096;

/** Search by one vector for each text. @param similarities default cosine */
export function denseStage(
  embed: EmbedTexts,
  similarities: readonly SimilarityFunction[] = ['cosine'],
  { queryPrompt, corpusPrompt }: SearchPrompts = {},
): FirstStage {
  const [embedQueries, embedDocuments] = [withPrompt(embed, queryPrompt), withPrompt(embed, corpusPrompt)];
  return {
    names: similarities,
    async search(queries, { topK, signal, blocks }) {
      const asked = await embedQueries(queries, { as: 'query', signal });
      return bestOfBlocks(blocks, similarities, queries, topK, async (documents) => {
        const vectors = await embedDocuments(documents, { as: 'document', signal });
        const found: SearchHit[][][] = [];
        for (const similarity of similarities)
          found.push(await semanticSearch(asked, vectors, { topK, similarity, signal }));
        return found;
      });
    },
  };
}

/** Search by sparse vectors. A document that shares no term with a query has the score 0, after all others. */
export function sparseStage(embedder: SparseEmbedder): FirstStage {
  return {
    names: ['dot'],
    async search(queries, { topK, signal, blocks }) {
      const asked = (await embedder.embedQuery(queries, { signal })).vectors;
      return bestOfBlocks(blocks, ['dot'], queries, topK, async (documents) => {
        const { vectors } = await embedder.embedDocuments(documents, { signal });
        const index = await createSparseIndex(vectors, { signal });
        const found: SearchHit[][] = [];
        for (const query of asked)
          found.push(withoutScore(await index.search(query, { topK, signal }), documents.length, topK));
        return [found];
      });
    },
  };
}

/** Fills a ranking with the first rows that are not in it: all have the score 0. */
function withoutScore(hits: SearchHit[], rows: number, topK: number): SearchHit[] {
  const found = new Set(hits.map(({ row }) => row));
  for (let row = 0; row < rows && hits.length < topK; row += 1) if (!found.has(row)) hits.push({ row, score: 0 });
  return hits;
}

/** Search by late interaction, every document compared. */
export function lateInteractionStage(embedder: MultiVectorEmbedder): FirstStage {
  const { similarity } = embedder;
  const names = [similarity === 'max' ? 'maxsim' : 'meanmaxsim'];
  return {
    names,
    async search(queries, { topK, signal, blocks }) {
      const asked = (await embedder.embedQuery(queries, { signal })).vectors;
      return bestOfBlocks(blocks, names, queries, topK, async (documents) => {
        const { vectors } = await embedder.embedDocuments(documents, { signal });
        const found: SearchHit[][] = [];
        for (let query = 0; query < queries.length; query += 1)
          found.push(await searchByMaxSimilarity(matrixOfText(asked, query), vectors, { topK, similarity, signal }));
        return [found];
      });
    },
  };
}

/** Search by words, without a model. */
export function bm25Stage(): FirstStage {
  return {
    names: ['bm25'],
    async search(queries, { topK, signal, blocks }) {
      const texts = function* (): Generator<string, void> {
        for (const block of blocks) yield* block;
      };
      const index = await createBm25Index(texts(), { signal });
      const found: SearchHit[][] = [];
      for (const query of queries) found.push(await index.search(query, { topK, signal }));
      return [found];
    },
  };
}

/** Searches block after block, and keeps the best of each name and query. */
async function bestOfBlocks(
  blocks: Iterable<readonly string[]>,
  names: readonly string[],
  queries: readonly string[],
  topK: number,
  search: (documents: readonly string[]) => Promise<SearchHit[][][]>,
): Promise<SearchHit[][][]> {
  const best = names.map(() => queries.map((): SearchHit[] => []));
  let firstRow = 0;
  for (const documents of blocks) {
    for (const [name, ofQueries] of (await search(documents)).entries())
      for (const [query, hits] of ofQueries.entries()) {
        const later = hits.map(({ row, score }) => ({ row: firstRow + row, score }));
        // Row numbers increase from block to block, and sorting is stable.
        best[name]![query] = [...best[name]![query]!, ...later].sort((a, b) => b.score - a.score).slice(0, topK);
      }
    firstRow += documents.length;
  }
  return best;
}

/** What {@link evaluateSearch} has measured. */
export interface SearchEvaluation extends Evaluation {
  readonly metrics: Readonly<Record<string, number>>;
}

/** Options of {@link evaluateSearch}. */
export interface EvaluateSearchOptions extends RetrievalMetricOptions {
  /**
   * Whether the rankings of all first stages are fused, by reciprocal ranks, into one more: `hybrid`.
   * @default false
   */
  readonly hybrid?: boolean | undefined;
  /** Reorders the best documents: a reranker, or a model of late interaction. Its metrics are called `reranked`. */
  readonly reranker?:
    | {
        rank(
          query: string,
          documents: readonly string[],
          options: { readonly signal?: AbortSignal | undefined },
        ): Promise<readonly SearchHit[]>;
      }
    | undefined;
  /**
   * Documents of each query that the reranker gets, and that are fused.
   * @default 100
   */
  readonly candidates?: number | undefined;
  /**
   * Further documents, which answer no query.
   * @default none
   */
  readonly distractors?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each query that was reranked. */
  readonly onProgress?: ((progress: { readonly queries: number; readonly total: number }) => void) | undefined;
}

/**
 * Searches a corpus for each query in several stages, and measures each: `retrievalMetrics` by the names of the first
 * stages, such as `cosine_ndcg@10`, then of `hybrid`, then of `reranked`. `score` is NDCG at 10 of the last stage. Equal
 * scores are ranked by id, ascending as strings, as in `InformationRetrievalEvaluator` of sentence-transformers. Holds
 * the texts, and the vectors of 4,096 documents.
 * @param stages at least one; the reranker gets what `hybrid` found, else the first
 * @throws SentvecError `invalid-argument` when no query has a relevant document, and for names that two stages have;
 * what the models throw, `aborted`
 */
export async function evaluateSearch(
  task: RetrievalTask,
  stages: readonly FirstStage[],
  options: EvaluateSearchOptions = {},
): Promise<SearchEvaluation> {
  const own = { hybrid: true, reranker: true, candidates: true, distractors: true, onProgress: true } as const;
  checkOptionNames('evaluateSearch()', options, { ...retrievalMetricNames, ...own, signal: true });
  const {
    hybrid = false,
    reranker,
    candidates = 100,
    distractors = [],
    signal,
    onProgress,
    ...metricOptions
  } = options;
  if (candidates !== Infinity) checkCount(candidates, 'candidates');
  const names = stages.flatMap((stage) => stage.names);
  if (names.length === 0 || new Set(names).size < names.length)
    throw new SentvecError('invalid-argument', `The first stages are called ${names.join(', ')}: name each once.`);
  const { texts, rowOf } = sortById(task.corpus, distractors);
  const judged = Object.entries(task.queries).flatMap(([id, text]) => {
    const ids = Object.hasOwn(task.relevant, id) ? task.relevant[id]! : [];
    return ids.length > 0 ? [{ text, relevant: new Set(ids.map((each) => rowOf.get(each) ?? each)) }] : [];
  });
  const queries = judged.map(({ text }) => text);
  const depth = deepestRank(metricOptions);
  const metrics: Record<string, number> = {};
  let last = '';
  const measure = (name: string, rankings: readonly (readonly SearchHit[])[]): void => {
    const found = rankings.map((hits, query) => ({
      found: hits.map(({ row }) => row),
      relevant: judged[query]!.relevant,
    }));
    for (const [metric, value] of Object.entries(retrievalMetrics(found, metricOptions)))
      metrics[`${name}_${metric}`] = value;
    last = name;
  };
  if (queries.length === 0) retrievalMetrics([], metricOptions); // Throws, since there is nothing to measure.
  const corpus: CorpusBlocks = {
    topK: hybrid || reranker ? Math.max(depth, candidates) : depth,
    signal,
    blocks: {
      *[Symbol.iterator]() {
        for (let from = 0; from < texts.length; from += blockDocuments) yield texts.slice(from, from + blockDocuments);
      },
    },
  };
  const rankings: SearchHit[][][] = [];
  for (const stage of stages) rankings.push(...(await stage.search(queries, corpus)));
  for (const [index, name] of names.entries()) measure(name, rankings[index]!);
  let best = rankings[0]!;
  if (hybrid) {
    best = queries.map((_, query) => fuseRankings(rankings.map((hits) => hits[query]!.slice(0, candidates))));
    measure('hybrid', best);
  }
  if (reranker) {
    const reranked: SearchHit[][] = [];
    for (const [query, text] of queries.entries()) {
      throwIfAborted(signal);
      const [head, tail] = [best[query]!.slice(0, candidates), best[query]!.slice(candidates)];
      const order =
        head.length === 0
          ? []
          : await reranker.rank(
              text,
              head.map(({ row }) => texts[row]!),
              { signal },
            );
      reranked.push([...order.map(({ row, score }) => ({ row: head[row]!.row, score })), ...tail]);
      onProgress?.({ queries: query + 1, total: queries.length });
    }
    measure('reranked', reranked);
  }
  return { score: metrics[`${last}_ndcg@10`] ?? Math.max(...Object.values(metrics)), metrics };
}

/** Documents in the order of their ids, in which a search keeps equal scores; those without an id come last. */
function sortById(
  corpus: Readonly<Record<string, string>>,
  distractors: readonly string[],
): { readonly texts: readonly string[]; readonly rowOf: ReadonlyMap<string, number> } {
  const ids = Object.keys(corpus).sort();
  const there = new Set(Object.values(corpus));
  const others = [...new Set(distractors)].filter((text) => !there.has(text));
  return {
    texts: [...ids.map((id) => corpus[id]!), ...others],
    rowOf: new Map(ids.map((id, row) => [id, row])),
  };
}

/**
 * Search for each query by vectors, embedded as such: the metrics of `retrievalMetrics` by the names of the
 * similarities; `score` is NDCG at 10 of the model's own similarity.
 */
export function evaluateRetrieval(
  embed: EmbedTexts,
  task: RetrievalTask,
  similarity: SimilarityFunction = 'cosine',
  { queryPrompt, corpusPrompt, ...options }: RetrievalMetricOptions & SearchPrompts = {},
): Promise<SearchEvaluation> {
  return evaluateSearch(task, [denseStage(embed, [similarity], { queryPrompt, corpusPrompt })], options);
}
