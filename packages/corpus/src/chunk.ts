import type { FileState } from './inputs/input-file.ts';
import type { ByteFormat, InputFormat } from './request.ts';

/**
 * A bounded part of a corpus. It refers to rows by file and range and does not contain them, so it is small JSON. See
 * {@link planCorpus}.
 */
export interface CorpusChunk {
  /** Index of the chunk, from 0. Its shard has the same index. */
  readonly index: number;
  /** The input, as the user named it. */
  readonly input: string;
  /** The absolute path to read: the input itself, or its unpacked copy in the output folder. */
  readonly path: string;
  /** Size, times and version of the file at `path` when the run was prepared. */
  readonly file: FileState;
  readonly format: InputFormat;
  /**
   * Identifies the content of the chunk when it was planned: a hash of its bytes, for CSV also of the column names. For
   * Parquet, a hash of the file's footer.
   */
  readonly content: string;
  /** The range in the file, `end` excluded: in bytes, for Parquet in rows. */
  readonly start: number;
  readonly end: number;
  /** Index of its first row in the whole corpus, and in its input, both from 0. */
  readonly firstRow: number;
  readonly firstInputRow: number;
  /** Number of rows, including rows that will be rejected. */
  readonly rows: number;
  /** Line number of its first row, from 1. 0 for Parquet. */
  readonly firstLine: number;
  /** Its share of the input's size in bytes, for progress. */
  readonly bytes: number;
}

/** Names a chunk for people: its file, rows (counted from 0, as far as they are known) and bytes. */
export function describeChunk({ input, format, firstInputRow, rows, start, end }: CorpusChunk): string {
  const range = format === 'parquet' ? '' : ` (bytes ${start} to ${end})`;
  return `${input}#${firstInputRow}-${firstInputRow + rows - 1}${range}`;
}

/** A chunk of a format whose rows are byte ranges: not Parquet. */
export type ByteChunk = CorpusChunk & { readonly format: ByteFormat };

/** A part of one input that has no index in the corpus yet. */
export type InputSplit = Pick<
  CorpusChunk,
  'start' | 'end' | 'content' | 'firstInputRow' | 'rows' | 'firstLine' | 'bytes'
>;

/** The maximum size of a chunk. A row that is larger than `bytes` gets its own chunk. */
export interface ChunkLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** Maximum bytes of input in a chunk of several rows. */
export const chunkBytes: number = 8 * 1024 * 1024;
