// The contract suite of sinks.
import { quantizationRanges, quantize, SentvecError, type Matrix } from '@sentvec/core';
import type { Precision, Shard, ShardLayout, ShardVectors, Sink, SparseShardVectors } from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';

/** What a reader that is not the sink's own finds in a shard. Row i of each part belongs together. */
export interface ReadShard {
  readonly ids: readonly (number | bigint | string)[];
  readonly vectors: readonly (readonly number[])[];
  /** Columns that were carried over from the corpus, by name. A value that is not a text may be there as its JSON. */
  readonly columns?: Readonly<Record<string, readonly unknown[]>> | undefined;
}

/** What the contract has to know about a sink. */
export interface SinkContractOptions {
  /** Reads the files of a shard by other software than the sink, to prove that others can. */
  readonly readElsewhere?: ((files: readonly Uint8Array[], layout: ShardLayout) => Promise<ReadShard>) | undefined;
}

const precisions: readonly Precision[] = ['float32', 'int8', 'uint8', 'binary', 'ubinary'];

/** Values that formats like to lose: signs of zero, the smallest and largest float32, numbers with many digits. */
const hardEntries = [
  0,
  -0,
  1,
  -1,
  0.1,
  1 / 3,
  16_777_217,
  1e-45,
  1.1754943508222875e-38,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  1e-7,
  123_456.79,
];

const hardTexts = [
  '',
  ' ',
  'plain',
  'two\nlines\r\n',
  'tab\t"quotes" \'and\' commas, too',
  'null',
  '🙂 日本語 مرحبا',
  'NUL \u0000 inside',
  'x'.repeat(100_000),
];

const hardValues = [
  null,
  0,
  -1.5,
  true,
  false,
  [1, 'two', null],
  { nested: { text: '🙂' } },
  'text',
  '{"looks":"like JSON"}',
];

/**
 * A vitest suite that every sink must pass. Call it at the top level of a test file. What is written is read back to
 * the bit, by the sink and by other software, and equal shards give equal bytes.
 */
export function sinkContract(sink: Sink, options: SinkContractOptions = {}): void {
  describe(`sink contract of ${sink.format}`, () => {
    it('names its files apart', () => {
      expect(new Set(sink.endings).size).toBe(sink.endings.length);
      for (const ending of sink.endings) expect(ending).toMatch(/^\.[\w.]+$/);
    });

    for (const precision of precisions) {
      it(`gives back what it wrote: ${precision}, ids that are row numbers`, async () => {
        const { shard, layout } = exampleShard(precision, 2_000, 48, 'int64');
        expect(comparable(await roundTrip(sink, shard, layout))).toEqual(comparable(shard));
      });
    }

    it('gives back ids that are strings, numbers up to 2^53, and no rows at all', async () => {
      const strings = exampleShard('float32', hardTexts.length, 3, 'string');
      expect(comparable(await roundTrip(sink, strings.shard, strings.layout))).toEqual(comparable(strings.shard));
      const large = exampleShard('float32', 3, 3, 'int64');
      const shard = { ...large.shard, ids: [0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER] };
      expect(comparable(await roundTrip(sink, shard, large.layout))).toEqual(comparable(shard));
      for (const precision of precisions) {
        const empty = exampleShard(precision, 0, 16, 'int64');
        expect(comparable(await roundTrip(sink, empty.shard, empty.layout))).toEqual(comparable(empty.shard));
      }
    });

    it('gives back columns of whole numbers as numbers', async () => {
      const { shard, layout } = exampleShard('float32', 40, 3, 'int64');
      const starts = shard.ids.map((_, row) => (row === 0 ? 2 ** 31 - 1 : row));
      const columns = [...shard.columns, starts];
      const named = { ...layout, columnNames: [...layout.columnNames, 'start'], integerColumns: ['start'] };
      expect((await roundTrip(sink, { ...shard, columns }, named)).columns.at(-1)).toEqual(starts);
    });

    it('gives back every bit of numbers that are easily lost', async () => {
      const { layout } = exampleShard('float32', 1, hardEntries.length, 'int64');
      const vectors = { data: Float32Array.from(hardEntries), rows: 1, cols: hardEntries.length };
      const shard = { ids: [7], vectors, columns: layout.columnNames.map(() => ['carried over']) };
      const { data } = (await roundTrip(sink, shard, layout)).vectors as ShardVectors;
      expect(bitsOf(data)).toEqual(bitsOf(vectors.data));
    });

    it('gives back sparse vectors, rows without entries among them, or refuses them', async () => {
      const vectors: SparseShardVectors = {
        indices: Int32Array.of(0, 7, 30_521, 3),
        values: Float32Array.of(0.1, 1 / 3, 2.5, 1e-45),
        offsets: Int32Array.of(0, 3, 3, 4),
        rows: 3,
      };
      const { layout } = exampleShard('float32', 1, 4, 'int64');
      const sparse = { ...layout, sparse: true, cols: 30_522 };
      const shard = { ids: [1, 2, 3], vectors, columns: layout.columnNames.map(() => ['a', 'b', 'c']) };
      const encoded = await sink.encode(shard, sparse).catch((error: unknown) => error);
      if (SentvecError.is(encoded, 'invalid-argument')) return;
      expect((await sink.decode(encoded as readonly Uint8Array[], sparse)).vectors).toEqual(vectors);
      const none = { indices: new Int32Array(0), values: new Float32Array(0), offsets: Int32Array.of(0), rows: 0 };
      const empty = { ids: [], vectors: none, columns: layout.columnNames.map(() => []) };
      expect((await roundTrip(sink, empty, sparse)).vectors).toEqual(none);
    });

    it('writes equal shards as equal bytes, and leaves its input as it was', async () => {
      const { shard, layout } = exampleShard('float32', 300, 20, 'int64');
      const before = structuredClone(shard);
      const first = await sink.encode(shard, layout);
      // The same entries within a larger array: how the caller holds them must not matter.
      const larger = new Float32Array(shard.vectors.data.length + 5);
      larger.set(shard.vectors.data, 5);
      const again = await sink.encode({ ...shard, vectors: { ...shard.vectors, data: larger.subarray(5) } }, layout);
      expect(again.map((bytes) => Buffer.from(bytes).toString('base64'))).toEqual(
        first.map((bytes) => Buffer.from(bytes).toString('base64')),
      );
      expect(shard).toEqual(before);
    });

    it.skipIf(options.readElsewhere === undefined)(
      'is read alike by other software (skipped when none is given)',
      async () => {
        for (const [precision, idType] of [
          ...precisions.map((each) => [each, 'int64'] as const),
          ['float32', 'string'] as const,
        ]) {
          const { shard, layout } = exampleShard(precision, 500, 24, idType);
          const { ids, vectors, columns } = await options.readElsewhere!(await sink.encode(shard, layout), layout);
          expect(ids.map(String)).toEqual(shard.ids.map(String));
          expect(vectors).toEqual(rowsOf(shard.vectors));
          if (!columns) continue;
          for (const [index, name] of layout.columnNames.entries())
            expect(columns[name]!.map(textOf)).toEqual(shard.columns[index]!.map(textOf));
        }
      },
    );
  });
}

async function roundTrip(sink: Sink, shard: Shard, layout: ShardLayout): Promise<Shard> {
  const files = await sink.encode(shard, layout);
  expect(files.length).toBe(sink.endings.length);
  return sink.decode(files, layout);
}

function exampleShard(
  precision: Precision,
  rows: number,
  dimension: number,
  idType: ShardLayout['idType'],
): { shard: Shard<ShardVectors>; layout: ShardLayout } {
  const vectors = vectorsOf(precision, rows, dimension);
  const textAt = (row: number): string => (row < hardTexts.length ? hardTexts[row]! : `row ${row}`);
  const shard = {
    ids: Array.from({ length: rows }, (_, row) =>
      idType === 'int64' ? row * 3 : `id ${row} ${textAt(row).slice(0, 40)}`,
    ),
    vectors,
    columns: [
      Array.from({ length: rows }, (_, row) => textAt(row)),
      Array.from({ length: rows }, (_, row) => hardValues[row % hardValues.length]),
    ],
  };
  const metadata = { 'sentvec.fingerprint': 'abc', 'sentvec.model': 'an "odd" näme' };
  return {
    shard,
    layout: { precision, idType, cols: vectors.cols, columnNames: ['text', 'odd "name", ünd so'], metadata },
  };
}

function vectorsOf(precision: Precision, rows: number, dimension: number): ShardVectors {
  const data = Float32Array.from(
    { length: rows * dimension },
    (_, index) => Math.sin(index * 12.9898) * Math.cos(index * 0.37),
  );
  const matrix: Matrix = { data, rows, cols: dimension };
  if (precision === 'float32') return matrix;
  const sample: Matrix = {
    data: Float32Array.from({ length: 2 * dimension }, (_, index) => (index < dimension ? -1 : 1)),
    rows: 2,
    cols: dimension,
  };
  return quantize(matrix, precision, { ranges: quantizationRanges(sample) });
}

/** A shard in a form that compares bits, with values of columns as formats with typed columns hold them. */
function comparable({ ids, vectors, columns }: Shard): unknown {
  const { data, rows, cols } = vectors as ShardVectors;
  const texts = columns.map((column) => column.map(textOf));
  return { ids, rows, cols, type: data.constructor.name, bits: bitsOf(data), columns: texts };
}

function bitsOf({ buffer, byteOffset, byteLength }: ShardVectors['data']): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

/** A value of a column as a format with typed columns holds it. */
function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function rowsOf({ data, rows, cols }: ShardVectors): number[][] {
  return Array.from({ length: rows }, (_, row) => [...data.subarray(row * cols, (row + 1) * cols)]);
}
