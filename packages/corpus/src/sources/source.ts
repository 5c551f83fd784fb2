import type { InputFormat } from '../request.ts';

/** An input as it was found on the disk, before anything was read of it. JSON. */
export interface FoundInput {
  /** As the user named it, or as a glob found it. `-` is standard input. */
  readonly name: string;
  /** Absolute; empty for standard input. */
  readonly path: string;
  /** `stream`: standard input, a pipe or a device, which can be read only once. */
  readonly kind: 'file' | 'stream';
  /**
   * Size and time of change (milliseconds), by which a resumed run knows that the file is still the same. 0 for
   * streams.
   */
  readonly bytes: number;
  readonly modified: number;
}

/** An input that can be cut at random. JSON. */
export interface Source {
  /** As the user named it. */
  readonly name: string;
  /** The file to read: the input itself, or its unpacked copy. */
  readonly path: string;
  readonly format: InputFormat;
  /** Where the rows begin: behind a byte order mark, behind the header of CSV. 0 for Parquet. */
  readonly start: number;
  /** The line at `start`, from 1. */
  readonly firstLine: number;
  /** Size of the file at `path`. */
  readonly bytes: number;
  /** Columns in order, where the format has them in one place: CSV and Parquet. */
  readonly columns?: readonly string[];
}
