// Evaluates search pipelines: dense, sparse, late-interaction and BM25 stages, their fusion, and a reranker. Each stage
// is measured on the same task.
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

/** Queries and documents by id, and the relevant documents of each query. */
export interface RetrievalTask {
  readonly queries: Readonly<Record<string, string>>;
  readonly corpus: Readonly<Record<string, string>>;
  /** For each query id, the ids of the relevant documents. Queries without any are left out of all metrics. */
  readonly relevant: Readonly<Record<string, readonly string[]>>;
}

/**
 * Makes a retrieval task of pairs: `documents[i]` is relevant for `queries[i]`. The corpus is all documents. Equal
 * texts become one query or one document.
 */
export function retrievalTask(queries: readonly string[], documents: readonly string[]): RetrievalTask {
  const corpusIds = idsOf(documents);
  const queryIds = idsOf(queries);
  const relevant: Record<string, string[]> = {};
  for (const [row, query] of queries.entries())
    (relevant[queryIds.get(query)!] ??= []).push(corpusIds.get(documents[row]!)!);
  return { queries: byId(queryIds), corpus: byId(corpusIds), relevant };
}

/** Gives each distinct text an id. */
function idsOf(texts: readonly string[]): Map<string, string> {
  return new Map([...new Set(texts)].map((text, index) => [text, `#${index}`]));
}

function byId(ids: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...ids].map(([text, id]) => [id, text]));
}

/** A retriever. It returns one ranking for each of its names. */
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
  /** How many documents a ranking should have. */
  readonly topK: number;
  readonly signal: AbortSignal | undefined;
  /** The texts of the corpus in blocks. May be iterated several times. */
  readonly blocks: Iterable<readonly string[]>;
}

/** How many documents' vectors are in memory at once. */
const blockDocuments = 4096;

/** Dense retrieval: one vector per text. @param similarities one ranking each; default cosine */
export function denseStage(
  embed: EmbedTexts,
  similarities: readonly SimilarityFunction[] = ['cosine'],
  { queryPrompt, corpusPrompt }: SearchPrompts = {},
): FirstStage {
  const [embedQueries, embedDocuments] = [withPrompt(embed, queryPrompt), withPrompt(embed, corpusPrompt)];
  return {
    names: similarities,
    async search(queries, { topK, signal, blocks }) {
      const queryVectors = await embedQueries(queries, { as: 'query', signal });
      return bestOfBlocks(blocks, similarities, queries, topK, async (documents) => {
        const vectors = await embedDocuments(documents, { as: 'document', signal });
        const found: SearchHit[][][] = [];
        for (const similarity of similarities)
          found.push(await semanticSearch(queryVectors, vectors, { topK, similarity, signal }));
        return found;
      });
    },
  };
}

/** Sparse retrieval. Documents that share no term with a query score 0 and are ranked last. */
export function sparseStage(embedder: SparseEmbedder): FirstStage {
  return {
    names: ['dot'],
    async search(queries, { topK, signal, blocks }) {
      const queryVectors = (await embedder.embedQuery(queries, { signal })).vectors;
      return bestOfBlocks(blocks, ['dot'], queries, topK, async (documents) => {
        const { vectors } = await embedder.embedDocuments(documents, { signal });
        const index = await createSparseIndex(vectors, { signal });
        const found: SearchHit[][] = [];
        for (const query of queryVectors)
          found.push(withZeroScores(await index.search(query, { topK, signal }), documents.length, topK));
        return [found];
      });
    },
  };
}

/** Fills a ranking up to `topK` with documents that are not in it, with a score of 0. */
function withZeroScores(hits: SearchHit[], rows: number, topK: number): SearchHit[] {
  const found = new Set(hits.map(({ row }) => row));
  for (let row = 0; row < rows && hits.length < topK; row += 1) if (!found.has(row)) hits.push({ row, score: 0 });
  return hits;
}

/** Retrieval by late interaction. Every document is compared with every query, without an index. */
export function lateInteractionStage(embedder: MultiVectorEmbedder): FirstStage {
  const { similarity } = embedder;
  const names = [similarity === 'max' ? 'maxsim' : 'meanmaxsim'];
  return {
    names,
    async search(queries, { topK, signal, blocks }) {
      const queryVectors = (await embedder.embedQuery(queries, { signal })).vectors;
      return bestOfBlocks(blocks, names, queries, topK, async (documents) => {
        const { vectors } = await embedder.embedDocuments(documents, { signal });
        const found: SearchHit[][] = [];
        for (let query = 0; query < queries.length; query += 1)
          found.push(
            await searchByMaxSimilarity(matrixOfText(queryVectors, query), vectors, { topK, similarity, signal }),
          );
        return [found];
      });
    },
  };
}

/** Retrieval by BM25, without a model. */
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

/** Searches block by block, and keeps the `topK` best hits for each name and query. */
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

/** The result of {@link evaluateSearch}. */
export interface SearchEvaluation extends Evaluation {
  readonly metrics: Readonly<Record<string, number>>;
}

/** Options of {@link evaluateSearch}. */
export interface EvaluateSearchOptions extends RetrievalMetricOptions {
  /**
   * Whether the rankings of all first stages are also fused by reciprocal rank fusion. The metrics of the fused ranking
   * are called `hybrid`.
   * @default false
   */
  readonly hybrid?: boolean | undefined;
  /** A reranker or a late-interaction model that reorders the best documents. Its metrics are called `reranked`. */
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
   * How many documents per query are fused and reranked.
   * @default 100
   */
  readonly candidates?: number | undefined;
  /**
   * Further documents, which are relevant for no query.
   * @default none
   */
  readonly distractors?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each reranked query. */
  readonly onProgress?: ((progress: { readonly queries: number; readonly total: number }) => void) | undefined;
}

/**
 * Searches a corpus for each query in several stages, and computes `retrievalMetrics` for each stage. Metrics are
 * prefixed with the name of the stage, such as `cosine_ndcg@10`; fusion and reranking have the prefixes `hybrid` and
 * `reranked`. `score` is NDCG at 10 of the last stage. Documents with equal scores are ranked by id, ascending as
 * strings, as in `InformationRetrievalEvaluator` of sentence-transformers. Memory: all texts, and the vectors of 4,096
 * documents.
 * @param stages at least one. The reranker gets the fused ranking, or without `hybrid` the first ranking
 * @throws SentvecError `invalid-argument` when no query has a relevant document, or when two stages have the same name;
 * `aborted`; errors of the models
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
    throw new SentvecError(
      'invalid-argument',
      names.length === 0
        ? 'There is no stage to evaluate. Give at least one.'
        : `Two stages have the same name: ${names.join(', ')}. Give each stage its own name.`,
    );
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
  if (queries.length === 0) retrievalMetrics([], metricOptions); // Throws: no query has a relevant document.
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

/** Sorts documents by id, so that the search, which is stable, ranks equal scores by id. Distractors come last. */
function sortById(
  corpus: Readonly<Record<string, string>>,
  distractors: readonly string[],
): { readonly texts: readonly string[]; readonly rowOf: ReadonlyMap<string, number> } {
  const ids = Object.keys(corpus).sort();
  const inCorpus = new Set(Object.values(corpus));
  const others = [...new Set(distractors)].filter((text) => !inCorpus.has(text));
  return {
    texts: [...ids.map((id) => corpus[id]!), ...others],
    rowOf: new Map(ids.map((id, row) => [id, row])),
  };
}

/**
 * Evaluates dense retrieval with one similarity: `retrievalMetrics` with its name as the prefix. `score` is NDCG at 10.
 */
export function evaluateRetrieval(
  embed: EmbedTexts,
  task: RetrievalTask,
  similarity: SimilarityFunction = 'cosine',
  { queryPrompt, corpusPrompt, ...options }: RetrievalMetricOptions & SearchPrompts = {},
): Promise<SearchEvaluation> {
  return evaluateSearch(task, [denseStage(embed, [similarity], { queryPrompt, corpusPrompt })], options);
}
