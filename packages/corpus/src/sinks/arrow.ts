/** Writes and reads shards in the Arrow IPC file format. */
import {
  DataType,
  Field,
  FixedSizeList,
  Float32,
  Int32,
  Int64,
  Int8,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableFromIPC,
  tableToIPC,
  Uint8,
  Utf8,
  Vector,
  vectorFromArray,
  type Data,
} from 'apache-arrow';
import type { Precision } from '../request.ts';
import type { RowId } from '../rows/row.ts';
import { decodeText } from './decode-text.ts';
import {
  allocateEntries,
  columnText,
  isSparse,
  joinSparse,
  sparseColumns,
  type Shard,
  type ShardLayout,
  type ShardVectors,
  type Sink,
  type SparseShardVectors,
} from './sink.ts';

/**
 * Arrow IPC files with the columns `id`, `embedding` (fixed-size list), and kept columns as strings. One uncompressed
 * record batch. Sparse vectors have two list columns, `embedding_indices` and `embedding_values`.
 */
export const arrowSink: Sink = {
  format: 'arrow',
  endings: ['.arrow'],
  encode: async (shard, layout) => [tableToIPC(tableOf(shard, layout), 'file')],
  decode: async ([file], layout) => shardOf(tableFromIPC(file), layout),
};

function tableOf(
  { ids, vectors, columns }: Shard,
  { idType, precision, columnNames, integerColumns = [], metadata }: ShardLayout,
): Table {
  const id = idType === 'int64' ? idData(ids) : textData(ids.map(String));
  const children: Data[] = [
    id,
    ...(isSparse(vectors) ? sparseData(vectors) : [listData(vectors, precision)]),
    ...columns.map((values, index) =>
      integerColumns.includes(columnNames[index]!) ? integerData(values) : textData(values.map(columnText)),
    ),
  ];
  const own = ['id', ...(isSparse(vectors) ? sparseColumns : ['embedding'])];
  const names = [...own, ...columnNames];
  const fields = children.map(({ type }, index) => new Field(names[index]!, type, index >= own.length));
  const schema = new Schema(fields, new Map(Object.entries(metadata)));
  const struct = makeData({ type: new Struct(fields), length: ids.length, nullCount: 0, children });
  return new Table(schema, [new RecordBatch(schema, struct)]);
}

function idData(ids: readonly RowId[]): Data {
  return makeData({
    type: new Int64(),
    length: ids.length,
    nullCount: 0,
    data: BigInt64Array.from(ids, (id) => BigInt(id)),
  });
}

function integerData(values: readonly unknown[]): Data {
  return makeData({
    type: new Int32(),
    length: values.length,
    nullCount: 0,
    data: Int32Array.from(values as number[]),
  });
}

function textData(values: readonly (string | null)[]): Data {
  return values.length === 0
    ? makeData({ type: new Utf8(), length: 0, nullCount: 0, valueOffsets: new Int32Array(1), data: new Uint8Array(0) })
    : vectorFromArray(values, new Utf8()).data[0]!;
}

function listData({ data, rows, cols }: ShardVectors, precision: Precision): Data {
  const type: DataType = precision === 'float32' ? new Float32() : data instanceof Int8Array ? new Int8() : new Uint8();
  const child = makeData({ type, length: data.length, nullCount: 0, data } as never) as Data;
  const list = new FixedSizeList(cols, new Field('item', type, false));
  return makeData({ type: list, length: rows, nullCount: 0, child });
}

/** List columns of indices and values. */
function sparseData({ indices, values, offsets, rows }: SparseShardVectors): Data[] {
  const entries = [
    [new Int32(), indices],
    [new Float32(), values],
  ] as const;
  return entries.map(([type, data]) => {
    const child = makeData({ type, length: data.length, nullCount: 0, data } as never) as Data;
    const list = new List(new Field('item', type as DataType, false));
    return makeData({ type: list, length: rows, nullCount: 0, valueOffsets: offsets, child });
  });
}

function sparseOf(table: Table): SparseShardVectors {
  const [indices, values] = sparseColumns.map((name) => {
    const column = table.getChild(name)!;
    return Array.from({ length: table.numRows }, (_, row) => Array.from(column.get(row) as Iterable<number>));
  });
  return joinSparse(
    indices!.map((list, row) => ({ indices: Int32Array.from(list), values: Float32Array.from(values![row]!) })),
  );
}

function shardOf(table: Table, layout: ShardLayout): Shard {
  const { columnNames, sparse = false } = layout;
  const values = (name: string): unknown[] => table.getChild(name)?.data.flatMap(valuesOf) ?? [];
  return {
    ids: values('id').map((id): RowId => (typeof id === 'bigint' ? Number(id) : (id as RowId))),
    vectors: sparse ? sparseOf(table) : denseOf(table, layout),
    columns: columnNames.map(values),
  };
}

function denseOf(table: Table, { precision, cols }: ShardLayout): ShardVectors {
  const rows = table.numRows;
  const data = allocateEntries(precision, rows * cols);
  let filled = 0;
  for (const { children, length } of table.getChild('embedding')?.data ?? []) {
    // The buffer may be longer, because Arrow pads it.
    const values = (children[0]!.values as ShardVectors['data']).subarray(0, length * cols);
    data.set(values, filled);
    filled += values.length;
  }
  if (filled !== data.length) throw new Error(`The column embedding has ${filled} entries, not ${data.length}.`);
  return { data, rows, cols };
}

/** Decodes texts here, because the library would remove a leading U+FEFF as a byte order mark. */
function valuesOf(data: Data): unknown[] {
  if (!DataType.isUtf8(data.type)) return Array.from(new Vector([data]));
  const { valueOffsets, values } = data as Data<Utf8>;
  return Array.from({ length: data.length }, (_, row) =>
    data.getValid(row) ? decodeText(values.subarray(valueOffsets[row], valueOffsets[row + 1])) : null,
  );
}
