// The loop that compares all queries with all rows of a corpus, block by block, with progress, abort signal and
// yielding to the event loop.
import { checkCount, shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { throwIfAborted } from '../errors.ts';

/** Options shared by all functions that compare queries with a corpus. */
export interface ScanOptions {
  /**
   * How many queries are compared with a chunk of the corpus before the next ones. Affects speed, not results.
   * @default 100
   */
  readonly queryChunkSize?: number | undefined;
  /**
   * How many rows of the corpus are compared with all queries before the next rows. Progress is reported after each
   * chunk. Affects speed, not results.
   * @default 8192
   */
  readonly corpusChunkSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each chunk of the corpus with the number of rows that are finished. */
  readonly onProgress?: ((progress: { readonly rows: number }) => void) | undefined;
}

/**
 * Scores of consecutive queries and consecutive rows: the score of the i-th query and the j-th row is `values[i *
 * stride + j]`.
 */
export interface ScoredBlock {
  readonly values: Float64Array;
  readonly stride: number;
  readonly firstQuery: number;
  readonly queryCount: number;
  /** Index of the first row in the whole corpus. */
  readonly firstRow: number;
  readonly rowCount: number;
}

/** Compares some queries with blocks of a corpus. */
export interface BlockScorer<Chunk> {
  readonly queryCount: number;
  /** Maximum number of rows in a call of `score`. */
  readonly rowCapacity: number;
  /** Selects the queries from `from` up to, but not including, `to` for the following calls of `score`. */
  selectQueries(from: number, to: number): void;
  /** Scores rows of a chunk. The next call overwrites the result. */
  score(chunk: Chunk, from: number, to: number): { readonly values: Float64Array; readonly stride: number };
}

/** A whole corpus, or its chunks in the order of rows. A chunk may be reused only after the next one was requested. */
export type Chunks<Chunk> = Chunk | Iterable<Chunk> | AsyncIterable<Chunk>;

/**
 * Calls `visit` with the scores of all queries and all rows, block by block; for each query, rows come in ascending
 * order. Yields to the event loop every few milliseconds and uses constant memory.
 * @param checkChunk called with each chunk of the corpus before it is read
 * @param afterChunk called with each chunk after its last `visit`, and with the index of its first row in the corpus
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

/** The chunk sizes, with their defaults. */
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
 * Number of rows of a block. A block takes about 0.25 ms with its queries and fits into the CPU cache.
 * @param length entries of a vector
 */
export function rowsPerBlock(length: number, bytesPerVector: number, queryChunkSize: number): number {
  return Math.max(2, Math.min(Math.floor(2 ** 18 / bytesPerVector), Math.floor(2 ** 22 / (length * queryChunkSize))));
}
