// The loop under everything that compares all queries with all rows: blocks, progress, abort, and turns of the event
// loop.
import { checkCount, shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { throwIfAborted } from '../errors.ts';

/** Options of everything that compares queries with a corpus in blocks. */
export interface ScanOptions {
  /**
   * Queries that are compared with a block of the corpus together. Changes speed, never results.
   * @default 100
   */
  readonly queryChunkSize?: number | undefined;
  /**
   * Rows of the corpus after which the next queries have their turn, and progress is reported. Changes speed, never
   * results.
   * @default 8192
   */
  readonly corpusChunkSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of rows of the corpus that are done, after each chunk of it. */
  readonly onProgress?: ((progress: { readonly rows: number }) => void) | undefined;
}

/** Scores of consecutive queries and consecutive rows: those of the i-th and the j-th at `values[i * stride + j]`. */
export interface ScoredBlock {
  readonly values: Float64Array;
  readonly stride: number;
  readonly firstQuery: number;
  readonly queryCount: number;
  /** Counted from the beginning of the corpus. */
  readonly firstRow: number;
  readonly rowCount: number;
}

/** Compares some queries with blocks of a corpus. */
export interface BlockScorer<Chunk> {
  readonly queryCount: number;
  /** The most rows that `score` may be given at once. */
  readonly rowCapacity: number;
  /** Takes the queries from `from` up to, not including, `to` for the calls of `score` that follow. */
  selectQueries(from: number, to: number): void;
  /** Scores rows of a chunk; the result is overwritten by the next call. */
  score(chunk: Chunk, from: number, to: number): { readonly values: Float64Array; readonly stride: number };
}

/**
 * A corpus in one piece, or piece by piece in the order of its rows. A piece is read until the next one is asked for.
 */
export type Chunks<Chunk> = Chunk | Iterable<Chunk> | AsyncIterable<Chunk>;

/**
 * Shows the scores of all queries with all rows to `visit`, block by block; the rows in ascending order for each query.
 * It yields to the event loop every few milliseconds, and memory does not grow with the corpus.
 * @param checkChunk called with each piece of the corpus before it is read
 * @param afterChunk called with each piece after all of its scores were shown, and the row of the corpus that it begins
 * with
 * @returns the number of rows of the corpus
 * @throws SentvecError `aborted`, `invalid-argument`
 */
export async function scanScores<Chunk extends { readonly rows: number }>(
  scorer: BlockScorer<Chunk>,
  corpus: Chunks<Chunk>,
  options: ScanOptions,
  visit: (block: ScoredBlock) => void,
  checkChunk: (chunk: Chunk) => void,
  afterChunk?: (chunk: Chunk, firstRow: number) => void,
): Promise<number> {
  const { signal, onProgress } = options;
  const { queryChunkSize, corpusChunkSize } = chunkSizes(options);
  let rowsBefore = 0;
  throwIfAborted(signal);
  for await (const chunk of eachChunk(corpus)) {
    checkChunk(chunk);
    for (let chunkStart = 0; chunkStart < chunk.rows; chunkStart += corpusChunkSize) {
      const chunkEnd = Math.min(chunkStart + corpusChunkSize, chunk.rows);
      for (let firstQuery = 0; firstQuery < scorer.queryCount; firstQuery += queryChunkSize) {
        const queryCount = Math.min(queryChunkSize, scorer.queryCount - firstQuery);
        scorer.selectQueries(firstQuery, firstQuery + queryCount);
        for (let from = chunkStart; from < chunkEnd; from += scorer.rowCapacity) {
          const to = Math.min(from + scorer.rowCapacity, chunkEnd);
          visit({
            ...scorer.score(chunk, from, to),
            firstQuery,
            queryCount,
            firstRow: rowsBefore + from,
            rowCount: to - from,
          });
          if (shouldYield()) await yieldToEventLoop();
          throwIfAborted(signal);
        }
      }
      onProgress?.({ rows: rowsBefore + chunkEnd });
    }
    afterChunk?.(chunk, rowsBefore);
    rowsBefore += chunk.rows;
  }
  return rowsBefore;
}

/** The chunk sizes that hold when the caller names none. */
export function chunkSizes(options: ScanOptions): {
  readonly queryChunkSize: number;
  readonly corpusChunkSize: number;
} {
  const { queryChunkSize = 100, corpusChunkSize = 8192 } = options;
  checkCount(queryChunkSize, 'queryChunkSize');
  checkCount(corpusChunkSize, 'corpusChunkSize');
  return { queryChunkSize, corpusChunkSize };
}

function eachChunk<Chunk extends { readonly rows: number }>(
  corpus: Chunks<Chunk>,
): Iterable<Chunk> | AsyncIterable<Chunk> {
  return 'rows' in corpus ? [corpus] : corpus;
}

/**
 * The rows of a block, so that a block with its queries takes about a quarter of a millisecond and the block stays in
 * the cache of a core.
 * @param length entries of a vector
 */
export function rowsPerBlock(length: number, bytesPerVector: number, queryChunkSize: number): number {
  return Math.max(2, Math.min(Math.floor(2 ** 18 / bytesPerVector), Math.floor(2 ** 22 / (length * queryChunkSize))));
}
