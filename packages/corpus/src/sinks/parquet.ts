/** Writes and reads shards in Parquet. */
import { parquetReadObjects, type FileMetaData, type SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { writeColumn } from 'hyparquet-writer/src/column.js';
import { encodeNestedValues } from 'hyparquet-writer/src/dremel.js';
import { schemaPathResolver } from 'hyparquet-writer/src/schema.js';
import type { SparseVector } from '@sentvec/core';
import { footerLength, footerTailBytes, parseFooter } from '../parquet/parquet-metadata.ts';
import type { Precision } from '../request.ts';
import type { RowId } from '../rows/row.ts';
import { decodeText } from './decode-text.ts';
import { pageBytes, readListColumn, writeFloatLists } from './parquet-list.ts';
import {
  columnText,
  isSparse,
  joinSparse,
  sparseColumns,
  splitSparse,
  type Shard,
  type ShardLayout,
  type ShardVectors,
  type Sink,
  type SparseShardVectors,
} from './sink.ts';

type EncodedColumn = Parameters<typeof writeColumn>[0];
type Compressors = NonNullable<EncodedColumn['column']['compressors']>;

/**
 * Parquet files with the columns `id`, `embedding` (list of float or of 8-bit integers), and kept columns as strings,
 * in one row group. Float vectors are not compressed, because compression hardly makes them smaller (measured in
 * docs/adr); 8-bit entries are dictionary-encoded to one byte each; texts are compressed with Snappy. Sparse vectors
 * have two list columns, `embedding_indices` and `embedding_values`.
 */
export const parquetSink: Sink = {
  format: 'parquet',
  endings: ['.parquet'],
  encode: async (shard, layout) => {
    const schema = schemaOf(layout);
    const { vectors } = shard;
    const bytes = isSparse(vectors) ? 2 * vectors.values.byteLength : vectors.data.byteLength;
    // Room for all of it: a writer that grows copies what it holds.
    const writer = new ByteWriter(bytes + 16 * vectors.rows + lengthOfTexts(shard) + 65_536);
    const kvMetadata = Object.entries(layout.metadata).map(([key, value]) => ({ key, value }));
    const file = new ParquetWriter({ writer, schema, kvMetadata, createdBy: 'sentvec' });
    if (shard.ids.length > 0) writeRowGroup(file, shard, layout);
    await file.finish();
    return [writer.getBytes()];
  },
  decode: async ([file], layout) => decodeShard(toArrayBuffer(file!), layout),
};

/** Bytes that texts take at most, as long as most of their letters are ASCII. */
function lengthOfTexts({ ids, columns }: Shard): number {
  let length = 0;
  for (const values of [ids, ...columns])
    for (const value of values) length += typeof value === 'string' ? value.length + 4 : 8;
  return length;
}

function schemaOf({
  idType,
  precision,
  columnNames,
  integerColumns = [],
  sparse = false,
}: ShardLayout): SchemaElement[] {
  const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8' } as const;
  return [
    { name: 'root', num_children: (sparse ? 3 : 2) + columnNames.length },
    { name: 'id', repetition_type: 'REQUIRED', ...(idType === 'int64' ? { type: 'INT64' } : text) },
    ...(sparse
      ? [...listElements(sparseColumns[0], { type: 'INT32' }), ...listElements(sparseColumns[1], { type: 'FLOAT' })]
      : listElements('embedding', entryTypes[precision])),
    ...columnNames.map((name): SchemaElement =>
      integerColumns.includes(name)
        ? { name, repetition_type: 'REQUIRED', type: 'INT32' }
        : { name, repetition_type: 'OPTIONAL', ...text },
    ),
  ];
}

function listElements(name: string, element: Pick<SchemaElement, 'type' | 'converted_type'>): SchemaElement[] {
  return [
    { name, repetition_type: 'REQUIRED', converted_type: 'LIST', num_children: 1 },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    { name: 'element', repetition_type: 'REQUIRED', ...element },
  ];
}

const int8 = { type: 'INT32', converted_type: 'INT_8' } as const;
const uint8 = { type: 'INT32', converted_type: 'UINT_8' } as const;
const entryTypes: Readonly<Record<Precision, Pick<SchemaElement, 'type' | 'converted_type'>>> = {
  float32: { type: 'FLOAT' },
  int8,
  binary: int8,
  uint8,
  ubinary: uint8,
};

/**
 * Writes all columns of a shard. ParquetWriter would do this by itself, but walks every entry of every list, which
 * takes far longer than the rest; the levels of lists of one length are known, and float32 is written as it is.
 */
function writeRowGroup(
  file: ParquetWriter,
  { ids, vectors, columns }: Shard,
  { idType, precision, columnNames, integerColumns = [] }: ShardLayout,
): void {
  const resolve = schemaPathResolver(file.schema);
  const start = file.writer.offset;
  const write = (
    path: string[],
    values: readonly unknown[] | ShardVectors,
    options: Partial<EncodedColumn['column']>,
  ) => {
    const tree = resolve(path);
    const schemaPath = tree.map(({ element }) => element);
    const defaults = {
      codec: 'SNAPPY',
      compressors: file.compressors as Compressors,
      stats: true,
      pageSize: pageBytes,
      columnIndex: false,
      offsetIndex: true,
    } as const;
    const column = { columnName: path.join('.'), element: schemaPath.at(-1)!, schemaPath, ...defaults, ...options };
    const { writer } = file;
    const written =
      'data' in values && values.data instanceof Float32Array
        ? writeFloatLists({ writer, column }, { data: values.data, cols: values.cols })
        : writeColumn({
            writer,
            column,
            pageData: 'data' in values ? listPages(values) : encodeNestedValues(tree, [...values]),
          });
    file.pendingIndexes.push(written);
    return written.chunk;
  };
  const chunks = [
    write(['id'], idType === 'int64' ? ids.map(BigInt) : ids, {}),
    ...(isSparse(vectors)
      ? splitColumns(vectors).map((lists, index) =>
          write([sparseColumns[index]!, 'list', 'element'], lists, index === 0 ? { stats: false } : plainEntries),
        )
      : [write(['embedding', 'list', 'element'], vectors, precision === 'float32' ? plainEntries : { stats: false })]),
    ...columnNames.map((name, index) => {
      const values = columns[index]!;
      return write([name], integerColumns.includes(name) ? values : values.map(columnText), {});
    }),
  ];
  const bytes = chunks.reduce((total, { meta_data }) => total + (meta_data?.total_uncompressed_size ?? 0n), 0n);
  file.num_rows = BigInt(ids.length);
  file.row_groups.push({
    columns: chunks,
    total_byte_size: bytes,
    num_rows: file.num_rows,
    total_compressed_size: BigInt(file.writer.offset - start),
  });
}

const plainEntries = { codec: 'UNCOMPRESSED', stats: false, encoding: 'PLAIN' } as const;

/** The index lists and the value lists of sparse vectors. */
function splitColumns(vectors: SparseShardVectors): [number[][], number[][]] {
  const rows = splitSparse(vectors);
  return [rows.map(({ indices }) => [...indices]), rows.map(({ values }) => [...values])];
}

/**
 * 8-bit entries with their repetition levels: 0 for the first entry of a list, 1 for the others. There are no null
 * entries.
 */
function listPages({ data, cols }: ShardVectors): EncodedColumn['pageData'] {
  const repetitionLevels = new Uint8Array(data.length).fill(1);
  for (let at = 0; at < data.length; at += cols) repetitionLevels[at] = 0;
  return {
    values: Int32Array.from(data),
    repetitionLevels: repetitionLevels as unknown as number[],
    definitionLevels: new Uint8Array(data.length).fill(1) as unknown as number[],
    maxDefinitionLevel: 1,
  };
}

async function decodeShard(
  file: ArrayBuffer,
  { precision, cols, columnNames, sparse = false }: ShardLayout,
): Promise<Shard> {
  const metadata = readFooter(Buffer.from(file));
  const rows = Number(metadata.num_rows);
  const parsers = { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && decodeText(bytes) };
  const records = await parquetReadObjects({
    file,
    metadata,
    parsers,
    columns: ['id', ...(sparse ? sparseColumns : []), ...columnNames],
  });
  return {
    ids: records.map(({ id }): RowId => (typeof id === 'bigint' ? Number(id) : (id as RowId))),
    vectors: sparse
      ? joinSparse(records.map((record) => sparseRow(record)))
      : { data: readListColumn(file, metadata, 'embedding', precision, rows * cols), rows, cols },
    columns: columnNames.map((name) => records.map((record) => (record[name] as string | undefined) ?? null)),
  };
}

function sparseRow(record: Readonly<Record<string, unknown>>): SparseVector {
  const [indices, values] = sparseColumns.map((name) => record[name] as number[]);
  return { indices: Int32Array.from(indices!), values: Float32Array.from(values!) };
}

function readFooter(file: Buffer): FileMetaData {
  const length = footerLength(file.subarray(-footerTailBytes), file.length);
  return parseFooter(file.subarray(-footerTailBytes - length), file.length);
}

function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  if (bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength) return bytes.buffer;
  return new Uint8Array(bytes).buffer; // A copy: Buffer.slice() would return a view.
}
