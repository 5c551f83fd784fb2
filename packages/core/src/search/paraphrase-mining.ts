// Finds the most alike pairs in a corpus: searches the corpus for each of its rows, and keeps the best pairs.
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
   * The nearest other rows of a row that may be its partners.
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

/** Two rows that are near to each other, `first < second`. */
export interface ParaphrasePair {
  readonly score: number;
  readonly first: number;
  readonly second: number;
}

/** Rows whose partners are searched together: their hits are what memory holds beside the pairs. */
const rowsPerSearch = 1024;

const optionNames: OptionNames<ParaphraseMiningOptions> = {
  topK: true,
  maxPairs: true,
  similarity: true,
  signal: true,
  onProgress: true,
};

/**
 * The pairs of rows that are nearest to each other, each once, best first; equal scores in the order of rows. Compares
 * all rows with all rows. As `paraphrase_mining_embeddings` in `sentence_transformers/util/retrieval.py`, with one chunk
 * of corpus: pairs of a cosine of -1 are left out there too.
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

/** The best pairs of those that were offered, each once: of equal scores those of the earlier rows. */
class BestPairs {
  /** Keys are negative pairs: of equal scores the pair of the latest rows is the first to go. */
  readonly heap: ScoreHeap = new ScoreHeap();
  readonly #present = new Set<number>();
  readonly #capacity: number;
  readonly #lowerBound: number;

  /** @param lowerBound only larger scores count */
  constructor(capacity: number, lowerBound: number) {
    this.#capacity = capacity;
    this.#lowerBound = lowerBound;
  }

  /** @param pair a whole number that names the pair and grows with its rows; the score of a pair is always the same */
  offer(score: number, pair: number): void {
    if (!(score > this.#lowerBound) || this.#present.has(pair)) return;
    if (this.heap.size < this.#capacity) this.heap.push(score, -pair);
    else {
      const [leastScore, leastPair] = [this.heap.scores[0]!, -this.heap.keys[0]!];
      if (score < leastScore || (score === leastScore && pair > leastPair)) return;
      this.heap.replaceRoot(score, -pair);
      this.#present.delete(leastPair);
    }
    this.#present.add(pair);
  }
}

/** Sorting half a million pairs takes long, so it yields to the event loop. */
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
