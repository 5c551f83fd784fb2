/** The interface of a file format for shards, and functions that its implementations share. */
import type { SparseVector } from '@sentvec/core';
import { hasPieceRows, pieceColumns, type CorpusOptions, type OutputFormat, type Precision } from '../request.ts';
import type { IdType, RowId } from '../rows/row.ts';

/**
 * Dense vectors of a shard, row-major, float32 or quantized. `cols` is the number of stored entries: bytes for packed
 * bits.
 */
export interface ShardVectors {
  readonly data: Float32Array | Int8Array | Uint8Array;
  readonly rows: number;
  readonly cols: number;
}

/** Sparse vectors of a shard. Row i has the entries from `offsets[i]` up to `offsets[i + 1]`, excluded. */
export interface SparseShardVectors {
  readonly indices: Int32Array;
  readonly values: Float32Array;
  /** Length: rows + 1. */
  readonly offsets: Int32Array;
  readonly rows: number;
}

/** The contents of a shard. Entry i of each list belongs to vector i. */
export interface Shard<Vectors = ShardVectors | SparseShardVectors> {
  readonly ids: readonly RowId[];
  readonly vectors: Vectors;
  /** Kept columns in the order of the layout, as JSON values. */
  readonly columns: readonly (readonly unknown[])[];
}

/** The properties that all shards of an output folder share. */
export interface ShardLayout {
  readonly precision: Precision;
  readonly idType: IdType;
  /** @default false */
  readonly sparse?: boolean | undefined;
  /** Number of stored entries of a vector (`ShardVectors.cols`); for sparse vectors, the size of the vocabulary. */
  readonly cols: number;
  readonly columnNames: readonly string[];
  /**
   * The columns with 32-bit integers.
   * @default none
   */
  readonly integerColumns?: readonly string[] | undefined;
  /** Written into every shard, if the format supports metadata. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * A file format for shards. It must be deterministic: equal shards give equal bytes on any machine. Every sink must
 * pass `sinkContract` of `@sentvec/testing`.
 */
export interface Sink {
  readonly format: OutputFormat;
  /**
   * File extensions of a shard: first that of the file with the vectors; second, if the format needs one, that of the
   * file with ids and kept columns.
   */
  readonly endings: readonly [vectors: string, companion?: string];
  /** Encodes a shard. Returns the bytes of each file, in the order of `endings`. */
  encode(shard: Shard, layout: ShardLayout): Promise<readonly Uint8Array[]>;
  /**
   * Decodes the files of a shard. Formats with typed columns store a kept value that is not a string as JSON, and
   * return this JSON string.
   * @throws any error for bytes that `encode` did not write
   */
  decode(files: readonly Uint8Array[], layout: ShardLayout): Promise<Shard>;
}

const loaders: Readonly<Record<OutputFormat, () => Promise<Sink>>> = {
  parquet: async () => (await import('./parquet.ts')).parquetSink,
  npy: async () => (await import('./npy.ts')).npySink,
  arrow: async () => (await import('./arrow.ts')).arrowSink,
  jsonl: async () => (await import('./jsonl.ts')).jsonlSink,
};

/**
 * Loads the sink of an output format. The library of a format is imported only when it is used. To add a format, add a
 * file and a line to the loaders above.
 */
export async function loadSink(format: OutputFormat): Promise<Sink> {
  return loaders[format]();
}

/** All columns except ids and vectors: kept columns, then the columns of pieces. */
export function columnsOfOutput(
  options: Pick<CorpusOptions, 'columns' | 'pieces'>,
): Pick<ShardLayout, 'columnNames' | 'integerColumns'> {
  if (!hasPieceRows(options)) return { columnNames: options.columns };
  return { columnNames: [...options.columns, ...pieceColumns], integerColumns: pieceColumns };
}

/** Allocates an array for `length` entries of a precision. */
export function allocateEntries(precision: Precision, length: number): ShardVectors['data'] {
  if (precision === 'float32') return new Float32Array(length);
  return precision === 'int8' || precision === 'binary' ? new Int8Array(length) : new Uint8Array(length);
}

/** Picks some rows of vectors, in the given order. */
export function pickRows<Vectors extends ShardVectors>(vectors: Vectors, rows: readonly number[]): Vectors {
  const { cols } = vectors;
  const data = vectors.data.slice(0, rows.length * cols);
  for (const [index, row] of rows.entries())
    data.set(vectors.data.subarray(row * cols, (row + 1) * cols), index * cols);
  return { ...vectors, data, rows: rows.length };
}

/** Number of stored entries of a vector with this dimension. */
export function storedCols(precision: Precision, dimension: number): number {
  return precision === 'binary' || precision === 'ubinary' ? Math.ceil(dimension / 8) : dimension;
}

/** Converts a kept value to a string, for typed columns: texts do not change, other values become JSON. */
export function columnText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The column names of sparse vectors, in formats with typed columns. */
export const sparseColumns = ['embedding_indices', 'embedding_values'] as const;

export function isSparse(vectors: Shard['vectors']): vectors is SparseShardVectors {
  return 'offsets' in vectors;
}

/** Concatenates sparse vectors. */
export function joinSparse(vectors: readonly SparseVector[]): SparseShardVectors {
  const offsets = new Int32Array(vectors.length + 1);
  for (const [row, { indices }] of vectors.entries()) offsets[row + 1] = offsets[row]! + indices.length;
  const joined = { indices: new Int32Array(offsets.at(-1)!), values: new Float32Array(offsets.at(-1)!) };
  for (const [row, { indices, values }] of vectors.entries()) {
    joined.indices.set(indices, offsets[row]);
    joined.values.set(values, offsets[row]);
  }
  return { ...joined, offsets, rows: vectors.length };
}

/** The inverse of {@link joinSparse}. */
export function splitSparse({ indices, values, offsets, rows }: SparseShardVectors): SparseVector[] {
  return Array.from({ length: rows }, (_, row) => ({
    indices: indices.slice(offsets[row], offsets[row + 1]),
    values: values.slice(offsets[row], offsets[row + 1]),
  }));
}
