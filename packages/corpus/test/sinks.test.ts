import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, listValue } from '@duckdb/node-api';
import { loadSink, type ShardLayout, type ShardVectors } from '@sentvec/corpus';
import { sinkContract, type ReadShard } from '@sentvec/testing';
import { tableFromIPC } from 'apache-arrow';
import * as fc from 'fast-check';
import { ByteWriter } from 'hyparquet-writer';
import { writeColumn } from 'hyparquet-writer/src/column.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { float32Text } from '../src/sinks/float32-text.ts';
import { writeFloatLists } from '../src/sinks/parquet-list.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-sinks-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

sinkContract(await loadSink('parquet'), { readElsewhere: readByDuckDb });
sinkContract(await loadSink('arrow'), { readElsewhere: readByArrow });
sinkContract(await loadSink('npy'), { readElsewhere: readNpy });
sinkContract(await loadSink('jsonl'), { readElsewhere: readLines });

async function readByDuckDb([file]: readonly Uint8Array[], layout: ShardLayout): Promise<ReadShard> {
  const path = join(folder, 'shard.parquet');
  await writeFile(path, file!);
  const connection = await (await DuckDBInstance.create()).connect();
  try {
    const reader = await connection.runAndReadAll(`select * from read_parquet('${path}')`);
    const columns = reader.getColumnsObject() as Record<string, unknown[]>;
    return {
      ids: columns['id'] as bigint[],
      vectors: (columns['embedding'] as ReturnType<typeof listValue>[]).map(({ items }) => items as number[]),
      columns: Object.fromEntries(layout.columnNames.map((name) => [name, columns[name]!])),
    };
  } finally {
    connection.closeSync();
  }
}

async function readByArrow([file]: readonly Uint8Array[], layout: ShardLayout): Promise<ReadShard> {
  const table = tableFromIPC(file);
  const column = (name: string): unknown[] => Array.from(table.getChild(name)!);
  return {
    ids: column('id') as bigint[],
    vectors: (column('embedding') as Iterable<number>[]).map((vector) => [...vector]),
    columns: Object.fromEntries(layout.columnNames.map((name) => [name, column(name)])),
  };
}

/** Reads an .npy file according to https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
async function readNpy([vectors, companion]: readonly Uint8Array[], layout: ShardLayout): Promise<ReadShard> {
  const file = Buffer.from(vectors!);
  expect(file.subarray(0, 8).toString('latin1')).toBe('\u0093NUMPY\u0001\u0000');
  const begin = 10 + file.readUInt16LE(8);
  expect(begin % 64).toBe(0);
  const header = file.subarray(10, begin).toString('latin1');
  expect(header.endsWith('\n')).toBe(true);
  const match = /^\{'descr': '([<|][fiu]\d)', 'fortran_order': False, 'shape': \((\d+), (\d+)\), \} *\n$/.exec(header)!;
  const [rows, cols] = [Number(match[2]), Number(match[3])];
  const read = {
    '<f4': (at: number) => file.readFloatLE(begin + 4 * at),
    '|i1': (at: number) => file.readInt8(begin + at),
    '|u1': (at: number) => file.readUInt8(begin + at),
  }[match[1]!]!;
  const records = Buffer.from(companion!)
    .toString('utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return {
    ids: records.map(({ id }) => id as number),
    vectors: Array.from({ length: rows }, (_, row) =>
      Array.from({ length: cols }, (__, col) => read(row * cols + col)),
    ),
    columns: Object.fromEntries(layout.columnNames.map((name) => [name, records.map((record) => record[name])])),
  };
}

async function readLines([file]: readonly Uint8Array[], layout: ShardLayout): Promise<ReadShard> {
  const records = Buffer.from(file!)
    .toString('utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return {
    ids: records.map(({ id }) => id as number),
    vectors: records.map(({ embedding }) => (embedding as number[]).map(Math.fround)),
    columns: Object.fromEntries(layout.columnNames.map((name) => [name, records.map((record) => record[name])])),
  };
}

describe('npy', () => {
  it('stores vectors of any shape and precision, ids and texts, readable by another reader and by sentvec', async () => {
    const sink = await loadSink('npy');
    const shard = fc
      .tuple(fc.constantFrom('float32', 'int8', 'uint8', 'binary', 'ubinary' as const), fc.integer({ min: 1, max: 12 }))
      .chain(([precision, rows]) =>
        fc.record({
          precision: fc.constant(precision),
          vectors: fc.integer({ min: 1, max: 300 }).map((cols) => vectorsOf(precision, rows, cols)),
          ids: fc.array(fc.string({ unit: 'grapheme' }), { minLength: rows, maxLength: rows }),
          texts: fc.array(fc.option(fc.string({ unit: 'binary' })), { minLength: rows, maxLength: rows }),
        }),
      );
    await fc.assert(
      fc.asyncProperty(shard, async ({ precision, vectors, ids, texts }) => {
        const { cols, rows, data } = vectors;
        const layout: ShardLayout = { precision, cols, idType: 'string', columnNames: ['text'], metadata: {} };
        const files = await sink.encode({ ids, vectors, columns: [texts] }, layout);
        const read = await readNpy(files, layout);
        expect(read.ids).toEqual(ids);
        expect(read.columns).toEqual({ text: texts });
        expect(read.vectors.flat()).toEqual([...data]);
        expect(await sink.decode(files, layout)).toEqual({ ids, vectors: { data, rows, cols }, columns: [texts] });
      }),
      { numRuns: 50 },
    );
  });
});

/** Returns distinct values of the type for the precision. */
function vectorsOf(precision: ShardLayout['precision'], rows: number, cols: number): ShardVectors {
  const type = { float32: Float32Array, int8: Int8Array, binary: Int8Array, uint8: Uint8Array, ubinary: Uint8Array }[
    precision
  ];
  const data = new type(rows * cols);
  for (let index = 0; index < data.length; index += 1)
    data[index] = precision === 'float32' ? Math.sin(index) : index * 193;
  return { data, rows, cols };
}

describe('float32 as text', () => {
  it('has the fewest digits that identify the value, and is parsed back to the same bits', () => {
    const bits = new Uint32Array(1);
    const float = new Float32Array(bits.buffer);
    const wrong: string[] = [];
    let state = 1;
    for (let count = 0; count < 200_000; count += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      // Half of the values are random float32 bit patterns, half are typical vector components.
      if (count % 2 === 0) bits[0] = state;
      else float[0] = (state / 2 ** 32) * 2 - 1;
      const value = float[0]!;
      if (!Number.isFinite(value)) continue;
      const text = float32Text(value);
      if (!Object.is(Math.fround(JSON.parse(text) as number), value)) wrong.push(`${text} is not ${value}`);
      if (digitsOf(text) > digitsOf(shortest(value))) wrong.push(`${text} for ${shortest(value)}`);
    }
    expect(wrong).toEqual([]);
  });

  it('prints what NumPy prints', () => {
    // repr() of numpy.float32 for the value on the right.
    const printed: Record<string, number> = {
      '0.1': 0.1,
      '0.33333334': 1 / 3,
      '16777216': 16_777_217,
      '1e-45': 1e-45,
      '3.4028235e+38': 3.4028234663852886e38,
      '-0': -0,
      '123456.79': 123_456.789,
    };
    for (const [text, value] of Object.entries(printed)) expect(float32Text(Math.fround(value))).toBe(text);
  });
});

/** Reference: the lowest precision at which the number is parsed back exactly. */
function shortest(value: number): string {
  for (let digits = 1; digits <= 9; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(value);
}

function digitsOf(text: string): number {
  return text.replace(/e.*$/, '').replaceAll(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length;
}

describe('Parquet', () => {
  it('has the same bytes as a file written by the library, page by page, for lists of any length', () => {
    const path = [{ name: 'root' }, { name: 'embedding' }, { name: 'list', repetition_type: 'REPEATED' }] as const;
    const element = { name: 'element', repetition_type: 'REQUIRED', type: 'FLOAT' } as const;
    const column = {
      columnName: 'embedding.list.element',
      element,
      schemaPath: [...path, element],
      codec: 'UNCOMPRESSED',
      compressors: {},
      encoding: 'PLAIN',
      stats: false,
      pageSize: 1 << 20,
      columnIndex: false,
      offsetIndex: true,
    } as const;
    for (const [rows, cols] of [
      [1, 1],
      [7, 1],
      [9, 3],
      [40, 15],
      [3, 16],
      [2048, 17],
      [1030, 512],
      [3, 300_000],
      [300_000, 1],
    ] as const) {
      const data = Float32Array.from({ length: rows * cols }, (_, index) => Math.sin(index));
      const levels = data.map((_, index) => (index % cols === 0 ? 0 : 1));
      const pageData = {
        values: data,
        repetitionLevels: levels as unknown as number[],
        definitionLevels: new Uint8Array(data.length).fill(1) as unknown as number[],
        maxDefinitionLevel: 1,
      };
      const [ours, theirs] = [new ByteWriter(), new ByteWriter()];
      for (const writer of [ours, theirs]) writer.appendUint32(7);
      const layout = writeFloatLists(
        { writer: ours, column: { ...column, schemaPath: [...column.schemaPath] } },
        { data, cols },
      );
      const expected = writeColumn({
        writer: theirs,
        column: { ...column, schemaPath: [...column.schemaPath] },
        pageData,
      });
      expect(Buffer.compare(ours.getBytes(), theirs.getBytes()), `${rows} × ${cols}`).toBe(0);
      expect(layout).toEqual(expected);
    }
  });
});
