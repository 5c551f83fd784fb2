import type { FileState } from './inputs/input-file.ts';
import type { ByteFormat, InputFormat } from './request.ts';

/**
 * A bounded piece of a corpus, by reference: where its rows are, never the rows. Small JSON; see {@link planCorpus}.
 */
export interface CorpusChunk {
  /** Counted from 0: the number of its shard. */
  readonly index: number;
  /** The input, as the user named it. */
  readonly input: string;
  /** The absolute path to read: the input itself, or its unpacked copy in the output folder. */
  readonly path: string;
  /** What the file at `path` was when the run was prepared. */
  readonly file: FileState;
  readonly format: InputFormat;
  /**
   * Identifies what was there when it was planned: a hash of its bytes, and of the names of columns in CSV. For Parquet,
   * a hash of the file's footer.
   */
  readonly content: string;
  /** The range in the file: bytes, for Parquet rows. */
  readonly start: number;
  readonly end: number;
  /** Number of its first row in the whole corpus, and in its input, each counted from 0. */
  readonly firstRow: number;
  readonly firstInputRow: number;
  /** The most rows that it can give. */
  readonly rows: number;
  /** The line of its first row, counted from 1. 0 for Parquet. */
  readonly firstLine: number;
  /** Its share of the input's size, for progress. */
  readonly bytes: number;
}

/** A chunk whose rows are ranges of bytes. */
export type ByteChunk = CorpusChunk & { readonly format: ByteFormat };

/** A piece of one input, whose index in the corpus is not known yet. */
export type InputSplit = Pick<
  CorpusChunk,
  'start' | 'end' | 'content' | 'firstInputRow' | 'rows' | 'firstLine' | 'bytes'
>;

/** The most that a chunk holds. A row that is larger than `bytes` gets a chunk of its own. */
export interface ChunkLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** The most bytes of input in a chunk of several rows. */
export const chunkBytes: number = 8 * 1024 * 1024;
