// Writes and reads shards as NumPy arrays, with ids in a second file.
import { SentvecError } from '@sentvec/core';
import type { Precision } from '../request.ts';
import type { RowId } from '../rows/row.ts';
import { allocateEntries, isSparse, type Shard, type ShardLayout, type Sink } from './sink.ts';

/**
 * Vectors in NumPy's format (version 1.0 of `numpy/lib/format.py`: little endian, row-major), and ids and kept columns
 * as JSON lines: line i belongs to vector i.
 */
export const npySink: Sink = {
  format: 'npy',
  endings: ['.npy', '.ids.jsonl'],
  encode: async ({ ids, vectors, columns }, { precision, columnNames }) => {
    if (isSparse(vectors))
      throw new SentvecError(
        'invalid-argument',
        'The format npy cannot store sparse vectors. Choose parquet, arrow or jsonl.',
      );
    const { data, rows, cols } = vectors;
    const entries = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const lines = ids.map((id, row) => {
      const kept = columnNames.map((name, index) => [name, columns[index]![row] ?? null] as const);
      return `${JSON.stringify({ id, ...Object.fromEntries(kept) })}\n`;
    });
    return [Buffer.concat([header(precision, rows, cols), entries]), Buffer.from(lines.join(''))];
  },
  decode: async ([vectors, companion], layout) =>
    parseShard(vectors!, Buffer.from(companion!).toString('utf8'), layout),
};

const types: Readonly<Record<Precision, string>> = {
  float32: '<f4',
  int8: '|i1',
  binary: '|i1',
  uint8: '|u1',
  ubinary: '|u1',
};

/** The header, padded so that the data begins at a multiple of 64 bytes. */
function header(precision: Precision, rows: number, cols: number): Buffer {
  const prefix = Buffer.from('\u0093NUMPY\u0001\u0000', 'latin1');
  const text = `{'descr': '${types[precision]}', 'fortran_order': False, 'shape': (${rows}, ${cols}), }`;
  const length = Math.ceil((prefix.length + 2 + text.length + 1) / 64) * 64 - prefix.length - 2;
  const size = Buffer.alloc(2);
  size.writeUInt16LE(length);
  return Buffer.concat([prefix, size, Buffer.from(`${text.padEnd(length - 1)}\n`, 'latin1')]);
}

function parseShard(file: Uint8Array, companion: string, { precision, cols, columnNames }: ShardLayout): Shard {
  const begin = 10 + new DataView(file.buffer, file.byteOffset).getUint16(8, true);
  const records = companion
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { id: RowId } & Record<string, unknown>);
  const data = allocateEntries(precision, records.length * cols);
  new Uint8Array(data.buffer).set(file.subarray(begin, begin + data.byteLength));
  return {
    ids: records.map(({ id }) => id),
    vectors: { data, rows: records.length, cols },
    columns: columnNames.map((name) => records.map((record) => record[name])),
  };
}
