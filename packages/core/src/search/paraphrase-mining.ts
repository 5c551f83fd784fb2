// Finds the most similar pairs of a corpus: searches the corpus with each of its rows, and keeps the best pairs.
import { checkCount, checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import { throwIfAborted } from '../errors.ts';
import { ScoreHeap } from './score-heap.ts';
import { semanticSearch } from './semantic-search.ts';
import { similarityFunctions } from './similarity.ts';
import type { Matrix, SimilarityFunction } from '../types.ts';
import { checkChoice, checkMatrix, checkNumbers, checkTopK } from './vector-checks.ts';

/** Options of {@link paraphraseMining}. */
export interface ParaphraseMiningOptions {
  /**
   * For each row, how many of its nearest rows are considered as its partners.
   * @default 100
   */
  readonly topK?: number | undefined;
  /**
   * The most pairs.
   * @default 500_000
   */
  readonly maxPairs?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: SimilarityFunction | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of rows whose partners were found. */
  readonly onProgress?: ((progress: { readonly rows: number }) => void) | undefined;
}

/** Two similar rows, `first < second`. */
export interface ParaphrasePair {
  readonly score: number;
  readonly first: number;
  readonly second: number;
}

/** How many rows are searched at a time: only their hits, and the best pairs, are kept in memory. */
const rowsPerSearch = 1024;

const optionNames: OptionNames<ParaphraseMiningOptions> = {
  topK: true,
  maxPairs: true,
  similarity: true,
  signal: true,
  onProgress: true,
};

/**
 * Finds the most similar pairs of rows, each once, best first; equal scores in the order of rows. Compares all rows
 * with all rows. Same results as `paraphrase_mining_embeddings` in `sentence_transformers/util/retrieval.py` with a
 * single corpus chunk, including that pairs with a cosine of -1 are left out.
 * @throws SentvecError `invalid-argument`, `aborted`
 */
export async function paraphraseMining(
  embeddings: Matrix,
  options: ParaphraseMiningOptions = {},
): Promise<ParaphrasePair[]> {
  checkOptionNames('paraphraseMining()', options, optionNames);
  const { topK = 100, maxPairs = 500_000, similarity = 'cosine', signal, onProgress } = options;
  checkMatrix(embeddings, 'The embeddings');
  checkNumbers(embeddings, 'The embeddings');
  checkTopK(topK);
  checkCount(maxPairs, 'maxPairs');
  checkChoice(similarity, similarityFunctions, 'similarity');
  const { data, rows, cols } = embeddings;
  const best = new BestPairs(maxPairs, similarity === 'cosine' ? -1 : -Infinity);
  for (let from = 0; from < rows; from += rowsPerSearch) {
    const to = Math.min(from + rowsPerSearch, rows);
    const queries: Matrix = { data: data.subarray(from * cols, to * cols), rows: to - from, cols };
    const hits = await semanticSearch(queries, embeddings, { topK: topK + 1, similarity, signal });
    for (const [i, partners] of hits.entries()) {
      for (const { row, score } of partners) {
        if (row !== from + i) best.offer(score, Math.min(from + i, row) * rows + Math.max(from + i, row));
      }
    }
    onProgress?.({ rows: to });
  }
  return bestFirst(best, rows, signal);
}

/** Keeps the best of the offered pairs, each once; equal scores are won by the earlier rows. */
class BestPairs {
  /** Keys are negated pair numbers, so that of equal scores the pair with the latest rows is removed first. */
  readonly heap: ScoreHeap = new ScoreHeap();
  readonly #present = new Set<number>();
  readonly #capacity: number;
  readonly #lowerBound: number;

  /** @param lowerBound pairs must have a larger score than this */
  constructor(capacity: number, lowerBound: number) {
    this.#capacity = capacity;
    this.#lowerBound = lowerBound;
  }

  /** @param pair number of the pair, which increases with its rows; offering a pair again must give the same score */
  offer(score: number, pair: number): void {
    if (!(score > this.#lowerBound) || this.#present.has(pair)) return;
    if (this.heap.size < this.#capacity) this.heap.push(score, -pair);
    else {
      const [minScore, minPair] = [this.heap.scores[0]!, -this.heap.keys[0]!];
      if (score < minScore || (score === minScore && pair > minPair)) return;
      this.heap.replaceRoot(score, -pair);
      this.#present.delete(minPair);
    }
    this.#present.add(pair);
  }
}

/** Sorts the pairs. Half a million pairs take long, so this yields to the event loop. */
async function bestFirst(
  { heap }: BestPairs,
  rows: number,
  signal: AbortSignal | undefined,
): Promise<ParaphrasePair[]> {
  const bestLast: ParaphrasePair[] = [];
  while (heap.size > 0) {
    const { score, key } = heap.pop();
    bestLast.push({ score, first: Math.floor(-key / rows), second: -key % rows });
    if (heap.size % 256 === 0 && shouldYield()) await yieldToEventLoop();
    throwIfAborted(signal);
  }
  return bestLast.toReversed();
}
