// Community detection: counts the neighbours of each row, then makes communities of the largest neighbourhoods.
import { checkCount, checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { gatherRows } from './matrix-rows.ts';
import { chunkSizes, scanScores, type ScanOptions } from './score-scan.ts';
import { byScoreThenRow, type SearchHit } from './top-rows.ts';
import type { Matrix } from '../types.ts';
import { checkMatrix, checkNumbers } from './vector-checks.ts';
import { VectorScorer } from './vector-scorer.ts';

/** Options of {@link communityDetection}. */
export interface CommunityDetectionOptions {
  /**
   * Minimum cosine similarity of two neighbours.
   * @default 0.75
   */
  readonly threshold?: number | undefined;
  /**
   * Minimum number of rows of a community, including the central one. Limited to the number of rows in the input.
   * @default 10
   */
  readonly minCommunitySize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with the number of rows of the corpus that were compared, while neighbours are counted. This is at least
   * half of the work.
   */
  readonly onProgress?: ((progress: { readonly rows: number }) => void) | undefined;
}

/** How many neighbours are kept in memory at a time, unless a single row has more. */
const maxNeighbours = 2 ** 20;

const optionNames: OptionNames<CommunityDetectionOptions> = {
  threshold: true,
  minCommunitySize: true,
  signal: true,
  onProgress: true,
};

/**
 * Groups rows that are similar to a common central row. The neighbourhood of a row consists of all rows with a cosine
 * similarity of at least `threshold` to it, nearest first. Neighbourhoods become communities in order of their size
 * (ties: the lower row first), without the rows that already belong to a community. Same results as
 * `community_detection` in `sentence_transformers/util/retrieval.py`.
 *
 * The first pass only counts neighbours; the second pass finds them again in order of size. This is at most twice the
 * work, but memory does not grow with the square of the rows.
 * @returns row numbers of each community, largest community first, the central row first
 * @throws SentvecError `invalid-argument`, `aborted`
 */
export async function communityDetection(
  embeddings: Matrix,
  options: CommunityDetectionOptions = {},
): Promise<number[][]> {
  checkOptionNames('communityDetection()', options, optionNames);
  const { threshold = 0.75, minCommunitySize = 10, signal, onProgress } = options;
  checkMatrix(embeddings, 'The embeddings');
  checkNumbers(embeddings, 'The embeddings');
  checkCount(minCommunitySize, 'minCommunitySize');
  if (!Number.isFinite(threshold))
    throw new SentvecError('invalid-argument', `threshold must be a number, not ${threshold}.`);
  const minSize = Math.min(minCommunitySize, embeddings.rows);
  const sizes = await countNeighbours(embeddings, threshold, { signal, onProgress });
  const centers = largestFirst(sizes, minSize);
  const remaining = new RemainingRows(embeddings);
  const communities: number[][] = [];
  for (let from = 0; from < centers.length;) {
    const to = endOfBatch(centers, from, sizes, remaining.count);
    const batch = gatherRows(embeddings, centers.slice(from, to));
    for (const neighbours of await findNeighbours(batch, remaining, threshold, signal)) {
      const community = neighbours.map(({ row }) => row).filter((row) => !remaining.isTaken(row));
      if (community.length < minSize) continue;
      remaining.take(community);
      communities.push(community);
    }
    remaining.compact();
    from = to;
  }
  return communities.sort((a, b) => b.length - a.length);
}

/**
 * The rows with at least `minSize` neighbours, most neighbours first; ties in the order of rows. Size and row are
 * combined into one number, because sorting numbers is ten times as fast as sorting with a comparator.
 */
function largestFirst(sizes: Uint32Array, minSize: number): number[] {
  const keys: number[] = [];
  sizes.forEach((size, row) => size >= minSize && keys.push((sizes.length - size) * sizes.length + row));
  return Array.from(Float64Array.from(keys).sort(), (key) => key % sizes.length);
}

async function countNeighbours(embeddings: Matrix, threshold: number, options: ScanOptions): Promise<Uint32Array> {
  const sizes = new Uint32Array(embeddings.rows);
  await scan(embeddings, embeddings, threshold, options, (query) => sizes[query]!++);
  return sizes;
}

/** For each center, the remaining rows whose similarity is at least the threshold, nearest first. */
async function findNeighbours(
  centers: Matrix,
  remaining: RemainingRows,
  threshold: number,
  signal: AbortSignal | undefined,
): Promise<SearchHit[][]> {
  const neighbours: SearchHit[][] = Array.from({ length: centers.rows }, () => []);
  if (remaining.count === 0) return neighbours;
  await scan(centers, remaining.vectors, threshold, { signal }, (query, at, score) =>
    neighbours[query]!.push({ row: remaining.rows[at]!, score }),
  );
  for (const hits of neighbours) {
    hits.sort(byScoreThenRow);
    if (shouldYield()) await yieldToEventLoop();
  }
  return neighbours;
}

async function scan(
  queries: Matrix,
  corpus: Matrix,
  threshold: number,
  options: ScanOptions,
  visit: (query: number, row: number, score: number) => void,
): Promise<void> {
  const scorer = new VectorScorer(queries, 'cosine', chunkSizes(options).queryChunkSize);
  await scanScores(
    scorer,
    corpus,
    options,
    ({ values, stride, firstQuery, queryCount, firstRow, rowCount }) => {
      for (let i = 0; i < queryCount; i++) {
        for (let j = 0; j < rowCount; j++) {
          const score = values[i * stride + j]!;
          if (score >= threshold) visit(firstQuery + i, firstRow + j, score);
        }
      }
    },
    () => {},
  );
}

function endOfBatch(centers: readonly number[], from: number, sizes: Uint32Array, remaining: number): number {
  let neighbours = 0;
  let to = from;
  do neighbours += Math.min(sizes[centers[to++]!]!, remaining);
  while (to < centers.length && neighbours + Math.min(sizes[centers[to]!]!, remaining) <= maxNeighbours);
  return to;
}

/** The rows that do not belong to a community yet. Rows that do are only marked, and removed later by `compact`. */
class RemainingRows {
  vectors: Matrix;
  rows: Uint32Array;
  /** Number of rows that are not taken. */
  count: number;
  readonly #taken: Uint8Array;

  constructor(vectors: Matrix) {
    this.vectors = vectors;
    this.rows = Uint32Array.from({ length: vectors.rows }, (_, row) => row);
    this.count = vectors.rows;
    this.#taken = new Uint8Array(vectors.rows);
  }

  isTaken(row: number): boolean {
    return this.#taken[row] === 1;
  }

  take(rows: readonly number[]): void {
    for (const row of rows) this.#taken[row] = 1;
    this.count -= rows.length;
  }

  /** Removes the taken rows when they are at least half of all, so that they are not compared any more. */
  compact(): void {
    if (this.count * 2 > this.rows.length || this.count === 0) return;
    const kept: number[] = [];
    this.rows.forEach((row, at) => this.isTaken(row) || kept.push(at));
    this.vectors = gatherRows(this.vectors, kept);
    this.rows = Uint32Array.from(kept, (at) => this.rows[at]!);
  }
}
