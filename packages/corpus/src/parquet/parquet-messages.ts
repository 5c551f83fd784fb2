/** The messages between a program and its thread that reads Parquet files. */
import type { ThreadProtocol } from '@sentvec/platform/node';

/** A Parquet file. */
export interface ParquetFile {
  /** As the user named it, for messages. */
  readonly name: string;
  readonly path: string;
}

/** What the footer of a Parquet file says. */
export interface ParquetSummary {
  readonly rows: number;
  /** Names of the columns, in order. */
  readonly columns: readonly string[];
  /** Bytes of each column, not compressed. */
  readonly columnBytes: readonly number[];
  /** Rows of each row group. */
  readonly groups: readonly number[];
  /** A hash of the footer. */
  readonly hash: string;
}

/** Which rows to read. */
export interface ParquetRange extends ParquetFile {
  readonly start: number;
  readonly end: number;
  readonly columns: readonly string[];
  /** Those of the columns that must hold texts, even where the file does not mark their bytes as text. */
  readonly texts: readonly string[];
}

/** Rows of a Parquet file. */
export interface ParquetRows {
  /** JSON values by the name of the column. */
  readonly records: readonly Readonly<Record<string, unknown>>[];
  /** Where a text is not valid UTF-8: index in `records`, name of the column. */
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
