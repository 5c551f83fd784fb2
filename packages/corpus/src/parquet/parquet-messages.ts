/** Messages to and from the worker thread that reads Parquet files. */
import type { ThreadProtocol } from '@sentvec/platform/node';

/** A Parquet file. */
export interface ParquetFile {
  /** The name that the user gave, for error messages. */
  readonly name: string;
  readonly path: string;
}

/** Contents of the footer of a Parquet file. */
export interface ParquetSummary {
  readonly rows: number;
  /** Names of the columns, in order. */
  readonly columns: readonly string[];
  /** Uncompressed size of each column in bytes. */
  readonly columnBytes: readonly number[];
  /** Number of rows of each row group. */
  readonly groups: readonly number[];
  /** A hash of the footer. */
  readonly hash: string;
}

/** A range of rows to read. */
export interface ParquetRange extends ParquetFile {
  readonly start: number;
  readonly end: number;
  readonly columns: readonly string[];
  /** The columns that must be texts: their bytes are decoded even if the file does not mark them as text. */
  readonly texts: readonly string[];
}

/** Rows of a Parquet file. */
export interface ParquetRows {
  /** One record per row: JSON values by column name. */
  readonly records: readonly Readonly<Record<string, unknown>>[];
  /** Texts that are not valid UTF-8: index in `records` and column name. */
  readonly invalidTexts: readonly (readonly [row: number, column: string])[];
  /** A hash of all values. */
  readonly content: string;
  /** A hash of the footer. */
  readonly footer: string;
}

/** The calls that the thread answers. */
export interface ParquetProtocol extends ThreadProtocol {
  readonly data: undefined;
  readonly ready: undefined;
  readonly calls: {
    summarize(file: ParquetFile): ParquetSummary;
    read(range: ParquetRange): ParquetRows;
  };
  readonly programCalls: object;
}
