/** The interface of a file format for shards, and what its implementations have in common. */
import type { SparseVector } from '@sentvec/core';
import { hasPieceRows, pieceColumns, type CorpusOptions, type OutputFormat, type Precision } from '../request.ts';
import type { IdType, RowId } from '../rows/row.ts';

/** Vectors of a shard, row-major: float32, or quantized. `cols` counts stored entries: of packed bits, bytes. */
export interface ShardVectors {
  readonly data: Float32Array | Int8Array | Uint8Array;
  readonly rows: number;
  readonly cols: number;
}

/** Sparse vectors of a shard: row i has the entries from `offsets[i]` up to, not including, `offsets[i + 1]`. */
export interface SparseShardVectors {
  readonly indices: Int32Array;
  readonly values: Float32Array;
  /** One more than there are rows. */
  readonly offsets: Int32Array;
  readonly rows: number;
}

/** The contents of a shard. Row i of each part belongs together. */
export interface Shard<Vectors = ShardVectors | SparseShardVectors> {
  readonly ids: readonly RowId[];
  readonly vectors: Vectors;
  /** Kept columns, in the order of the layout. JSON values. */
  readonly columns: readonly (readonly unknown[])[];
}

/** What all shards of an output folder have in common. */
export interface ShardLayout {
  readonly precision: Precision;
  readonly idType: IdType;
  /** @default false */
  readonly sparse?: boolean | undefined;
  /** Stored entries of a vector: `ShardVectors.cols`. Of sparse vectors, entries that they could have. */
  readonly cols: number;
  readonly columnNames: readonly string[];
  /**
   * Those of the columns that hold whole numbers of 32 bits.
   * @default none
   */
  readonly integerColumns?: readonly string[] | undefined;
  /** Written into every shard, where the format can hold it. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * A file format for shards. Equal shards give equal bytes, on any machine and at any time. Every sink passes
 * `sinkContract` of `@sentvec/testing`.
 */
export interface Sink {
  readonly format: OutputFormat;
  /**
   * Endings of the files of a shard: the one with the vectors first, then, where the format needs it, one with ids and
   * kept columns.
   */
  readonly endings: readonly [vectors: string, companion?: string];
  /** The bytes of each file, in the order of `endings`. */
  encode(shard: Shard, layout: ShardLayout): Promise<readonly Uint8Array[]>;
  /**
   * The inverse. Formats with typed columns store a kept value that is not a string as its JSON, and give that back.
   * @throws an error of any kind for bytes that `encode` did not make
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
 * The sink of an output format; its library is loaded when it is needed. A further format is one file, and one line
 * above.
 */
export async function loadSink(format: OutputFormat): Promise<Sink> {
  return loaders[format]();
}

/** The columns beside ids and vectors: those that are kept, then those with the positions of pieces. */
export function columnsOfOutput(
  options: Pick<CorpusOptions, 'columns' | 'pieces'>,
): Pick<ShardLayout, 'columnNames' | 'integerColumns'> {
  if (!hasPieceRows(options)) return { columnNames: options.columns };
  return { columnNames: [...options.columns, ...pieceColumns], integerColumns: pieceColumns };
}

/** An array for this many entries of a precision. */
export function allocateEntries(precision: Precision, length: number): ShardVectors['data'] {
  if (precision === 'float32') return new Float32Array(length);
  return precision === 'int8' || precision === 'binary' ? new Int8Array(length) : new Uint8Array(length);
}

/** Some rows of vectors, in the order given. */
export function pickRows<Vectors extends ShardVectors>(vectors: Vectors, rows: readonly number[]): Vectors {
  const { cols } = vectors;
  const data = vectors.data.slice(0, rows.length * cols);
  for (const [index, row] of rows.entries())
    data.set(vectors.data.subarray(row * cols, (row + 1) * cols), index * cols);
  return { ...vectors, data, rows: rows.length };
}

/** Stored entries of a vector of a dimension. */
export function storedCols(precision: Precision, dimension: number): number {
  return precision === 'binary' || precision === 'ubinary' ? Math.ceil(dimension / 8) : dimension;
}

/** A kept value as typed columns store it: texts as they are, everything else as JSON. */
export function columnText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What the columns of sparse vectors are called, in formats with typed columns. */
export const sparseColumns = ['embedding_indices', 'embedding_values'] as const;

export function isSparse(vectors: Shard['vectors']): vectors is SparseShardVectors {
  return 'offsets' in vectors;
}

/** Sparse vectors one after the other. */
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
