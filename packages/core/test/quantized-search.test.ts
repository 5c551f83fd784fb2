import {
  quantizationRanges,
  quantize,
  quantizedPrecisions,
  searchQuantized,
  similarity,
  type Matrix,
  type QuantizedMatrix,
  type SearchHit,
} from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { randomMatrix } from './random-vectors.ts';

const dimension = 21;
const queries = randomMatrix(6, dimension, 31);
const corpus = randomMatrix(500, dimension, 32);

function row({ data, cols }: { data: ArrayLike<number>; cols: number }, at: number): number[] {
  return Array.from({ length: cols }, (_, i) => data[at * cols + i]!);
}

function dot(x: readonly number[], y: readonly number[]): number {
  return x.reduce((sum, entry, i) => sum + entry * y[i]!, 0);
}

/** The entries of a row: bits as 0 and 1 for binary precisions, otherwise the integers. */
function numbers(quantized: QuantizedMatrix, at: number): number[] {
  if (!quantized.precision.endsWith('binary')) return row(quantized, at);
  return row(quantized, at)
    .flatMap((byte) =>
      Array.from(
        ((byte + 256 + (quantized.precision === 'binary' ? 128 : 0)) % 256).toString(2).padStart(8, '0'),
        Number,
      ),
    )
    .slice(0, dimension);
}

function searchByHand(
  quantized: QuantizedMatrix,
  topK: number,
  rescore: 'not' | 'with itself' | 'with the corpus',
): SearchHit[][] {
  const quantizedQueries = quantize(queries, quantized.precision, { ranges: quantized.ranges });
  return Array.from({ length: queries.rows }, (_, query) => {
    const vector = numbers(quantizedQueries, query);
    const scored = Array.from({ length: quantized.rows }, (__, at) => {
      const other = numbers(quantized, at);
      const score = quantized.precision.endsWith('binary')
        ? 0 - vector.filter((bit, i) => bit !== other[i]).length
        : dot(vector, other);
      return { row: at, score };
    }).sort((a, b) => b.score - a.score || a.row - b.row);
    if (rescore === 'not') return scored.slice(0, topK);
    return scored
      .slice(0, topK * 2)
      .map(({ row: at }) => ({
        row: at,
        score: dot(row(queries, query), rescore === 'with itself' ? numbers(quantized, at) : row(corpus, at)),
      }))
      .sort((a, b) => b.score - a.score || a.row - b.row)
      .slice(0, topK);
  });
}

describe.each(quantizedPrecisions)('searchQuantized, %s', (precision) => {
  const quantized = quantize(corpus, precision);

  it('finds the same rows as a brute-force search without rescoring', async () => {
    expect(await searchQuantized(queries, quantized, { topK: 9, rescore: false })).toEqual(
      searchByHand(quantized, 9, 'not'),
    );
  });

  it.each(['with itself', 'with the corpus'] as const)(
    'finds the same rows as a brute-force search rescored %s',
    async (how) => {
      const rescoreWith = how === 'with the corpus' ? corpus : undefined;
      const expected = searchByHand(quantized, 9, how);
      const hits = await searchQuantized(queries, quantized, { topK: 9, rescoreWith });
      expect(hits.map((found) => found.map((hit) => hit.row))).toEqual(
        expected.map((found) => found.map((hit) => hit.row)),
      );
      for (const [i, { score }] of hits.flat().entries()) expect(score).toBeCloseTo(expected.flat()[i]!.score, 4);
    },
  );

  it('finds the same rows in a corpus of several pieces', async () => {
    const whole = await searchQuantized(queries, quantized, { topK: 9 });
    const pieces = Array.from({ length: 10 }, (_, i) => ({
      ...quantized,
      rows: 50,
      data: quantized.data.slice(i * 50 * quantized.cols, (i + 1) * 50 * quantized.cols),
    }));
    expect(await searchQuantized(queries, pieces, { topK: 9, corpusChunkSize: 13, queryChunkSize: 4 })).toEqual(whole);
  });

  it('gives all rows when there are fewer than topK', async () => {
    const three = quantize(randomMatrix(3, dimension, 33), precision);
    expect((await searchQuantized(queries, three, { topK: 10 })).every((hits) => hits.length === 3)).toBe(true);
  });
});

describe('rescoring', () => {
  it('all rows with the corpus equals the exact search', async () => {
    const exact = similarity(queries, corpus, 'dot');
    const hits = await searchQuantized(queries, quantize(corpus, 'ubinary'), {
      topK: 5,
      rescoreMultiplier: 100,
      rescoreWith: corpus,
    });
    for (const [query, found] of hits.entries()) {
      const best = row(exact, query)
        .map((score, at) => ({ score, at }))
        .sort((a, b) => b.score - a.score);
      expect(found.map((hit) => hit.row)).toEqual(best.slice(0, 5).map(({ at }) => at));
    }
  });
});

describe('quantize', () => {
  it('clamps entries outside the ranges and maps all entries of an empty range to the lowest value', () => {
    const ranges: Matrix = { data: Float32Array.of(-1, 0.5, 1, 0.5), rows: 2, cols: 2 };
    const vectors: Matrix = { data: Float32Array.of(-7, 0.5, 7, 0.5, 0, 9), rows: 3, cols: 2 };
    expect([...quantize(vectors, 'uint8', { ranges }).data]).toEqual([0, 0, 255, 0, 127, 8]);
    expect([...quantize(vectors, 'int8', { ranges }).data]).toEqual([-128, -128, 127, -128, -1, -120]);
  });

  it('gives no rows for no rows when the ranges are known', () => {
    const none: Matrix = { data: new Float32Array(0), rows: 0, cols: 2 };
    const ranges: Matrix = { data: Float32Array.of(-1, -1, 1, 1), rows: 2, cols: 2 };
    expect(quantize(none, 'int8', { ranges })).toMatchObject({ rows: 0, cols: 2, dimension: 2 });
    expect(quantize(none, 'binary')).toMatchObject({ rows: 0, cols: 1, dimension: 2 });
  });

  it('computes the ranges from a calibration set', () => {
    const calibration = randomMatrix(50, dimension, 34);
    const ranges = quantizationRanges(calibration);
    for (let i = 0; i < dimension; i++) {
      const column = Array.from({ length: 50 }, (_, at) => calibration.data[at * dimension + i]!);
      expect([ranges.data[i], ranges.data[dimension + i]]).toEqual([Math.min(...column), Math.max(...column)]);
    }
    expect(quantize(corpus, 'int8', { calibration })).toEqual(quantize(corpus, 'int8', { ranges }));
  });
});

describe('quantize() and searchQuantized() refuse', () => {
  const none: Matrix = { data: new Float32Array(0), rows: 0, cols: dimension };
  const ranges: Matrix = { data: Float32Array.of(0, 1), rows: 2, cols: 1 };
  const one: Matrix = { data: Float32Array.of(0.5), rows: 1, cols: 1 };
  const bad: readonly (readonly [string, () => unknown])[] = [
    ['an unknown precision', () => quantize(corpus, 'int4' as 'int8')],
    ['int8 without ranges and without rows', () => quantize(none, 'int8')],
    ['ranges of one row', () => quantize(one, 'int8', { ranges: one })],
    ['ranges of another dimension', () => quantize(corpus, 'int8', { ranges })],
    [
      'a minimum above its maximum',
      () => quantize(one, 'int8', { ranges: { ...ranges, data: Float32Array.of(1, 0) } }),
    ],
    ['entries that are not numbers', () => quantize({ ...one, data: Float32Array.of(NaN) }, 'uint8', { ranges })],
    ['topK of 0', () => searchQuantized(queries, quantize(corpus, 'int8'), { topK: 0 })],
    ['rescoreMultiplier of 0', () => searchQuantized(queries, quantize(corpus, 'int8'), { rescoreMultiplier: 0 })],
    ['a corpus of another dimension', () => searchQuantized(queries, quantize(one, 'binary'))],
    ['an empty list of pieces', () => searchQuantized(queries, [])],
    ['bytes that do not fill the rows', () => searchQuantized(queries, { ...quantize(corpus, 'binary'), rows: 7 })],
    [
      'pieces of different precisions',
      () => searchQuantized(queries, [quantize(corpus, 'binary'), quantize(corpus, 'ubinary')]),
    ],
    [
      'pieces of different ranges',
      () => searchQuantized(queries, [quantize(corpus, 'int8'), quantize(randomMatrix(9, dimension, 1), 'int8')]),
    ],
    [
      'another number of rows to rescore with',
      () => searchQuantized(queries, quantize(corpus, 'int8'), { rescoreWith: queries }),
    ],
    [
      'vectors of another dimension to rescore with',
      () => searchQuantized(queries, quantize(corpus, 'int8'), { rescoreWith: one }),
    ],
    [
      'an int8 corpus without ranges',
      () => {
        const { ranges: _, ...withoutRanges } = quantize(corpus, 'int8');
        return searchQuantized(queries, withoutRanges);
      },
    ],
  ];
  it.each(bad)('%s', async (_, call) => {
    await expect(async () => call()).rejects.toMatchObject({ name: 'SentvecError', code: 'invalid-argument' });
  });
});
