import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { throwIfAborted } from '../errors.ts';
import { ScoreHeap } from './score-heap.ts';
import { semanticSearch } from './semantic-search.ts';
import { similarityFunctions } from './similarity.ts';
import type { Matrix, SimilarityFunction } from '../types.ts';
import { checkChoice, checkCount, checkMatrix } from './vector-checks.ts';

/** Options of {@link paraphraseMining}. */
export interface ParaphraseMiningOptions {
  /** The nearest other rows of a row that may be its partners. Default 100. */
  readonly topK?: number | undefined;
  /**
   * The most candidates that are kept, (i, j) and (j, i) counted each; so between half as many and as many pairs.
   * Default 500,000.
   */
  readonly maxPairs?: number | undefined;
  /** Default `cosine`. */
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

/**
 * The pairs of rows that are nearest to each other, best first; equal scores in the order of rows. Compares all rows
 * with all rows. As `paraphrase_mining_embeddings` in `sentence_transformers/util/retrieval.py`, with one chunk of
 * corpus: pairs of a cosine of -1 are left out there too.
 * @throws SentvecError `invalid-argument`, `aborted`
 */
export async function paraphraseMining(
  embeddings: Matrix,
  options: ParaphraseMiningOptions = {},
): Promise<ParaphrasePair[]> {
  const { topK = 100, maxPairs = 500_000, similarity = 'cosine', signal, onProgress } = options;
  checkMatrix(embeddings, 'The embeddings');
  checkCount(topK, 'topK');
  checkCount(maxPairs, 'maxPairs');
  checkChoice(similarity, similarityFunctions, 'similarity');
  const { data, rows, cols } = embeddings;
  const candidates = new ScoreHeap();
  let threshold = similarity === 'cosine' ? -1 : -Infinity;
  for (let from = 0; from < rows; from += rowsPerSearch) {
    const to = Math.min(from + rowsPerSearch, rows);
    const queries: Matrix = { data: data.subarray(from * cols, to * cols), rows: to - from, cols };
    const hits = await semanticSearch(queries, embeddings, { topK: topK + 1, similarity, signal });
    for (const [i, partners] of hits.entries()) {
      for (const { row, score } of partners) {
        if (row === from + i || score <= threshold) continue;
        const key = (from + i) * rows + row;
        if (candidates.size < maxPairs) candidates.push(score, key);
        else threshold = dropLeast(candidates, score, key);
      }
    }
    onProgress?.({ rows: to });
  }
  return uniquePairs(candidates, rows, signal);
}

/** Puts a candidate in and takes the least out, which may be the same. Returns the score of what went. */
function dropLeast(candidates: ScoreHeap, score: number, key: number): number {
  const leastScore = candidates.scores[0]!;
  if (score < leastScore || (score === leastScore && key < candidates.keys[0]!)) return score;
  candidates.replaceRoot(score, key);
  return leastScore;
}

/**
 * Each pair once, with the better of its scores. Half a million candidates are long in sorting: the event loop has its
 * turns.
 */
async function uniquePairs(
  candidates: ScoreHeap,
  rows: number,
  signal: AbortSignal | undefined,
): Promise<ParaphrasePair[]> {
  const seen = new Set<number>();
  const bestLast: ParaphrasePair[] = [];
  while (candidates.size > 0) {
    const { score, key } = candidates.pop();
    const [i, j] = [Math.floor(key / rows), key % rows];
    const [first, second] = [Math.min(i, j), Math.max(i, j)];
    if (!seen.has(first * rows + second)) {
      seen.add(first * rows + second);
      bestLast.push({ score, first, second });
    }
    if (candidates.size % 256 === 0 && shouldYield()) await yieldToEventLoop();
    throwIfAborted(signal);
  }
  return reverseScores(bestLast);
}

/** From the end to the beginning, but pairs of equal scores as they are: they are in the order of rows already. */
function reverseScores(pairs: readonly ParaphrasePair[]): ParaphrasePair[] {
  const reversed: ParaphrasePair[] = [];
  for (let end = pairs.length; end > 0;) {
    let start = end - 1;
    while (start > 0 && pairs[start - 1]!.score === pairs[start]!.score) start--;
    for (let i = start; i < end; i++) reversed.push(pairs[i]!);
    end = start;
  }
  return reversed;
}
