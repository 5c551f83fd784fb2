// The contract suite of poolings.
import type { Pooling, PoolingMode } from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { fillMasked, padLeft, padRight, randomVectors, rowsOf, withHoles, type PaddedTexts } from './padded-texts.ts';

/** One text as a pooling may see it: the vectors of the tokens that take part, and their columns in the batch. */
export interface PooledText {
  readonly vectors: readonly (readonly number[])[];
  readonly columns: readonly number[];
}

/** What the contract has to know about a pooling. */
export interface PoolingContractOptions {
  /**
   * Length of a token's vector. Set it for a pooling that has weights of its own.
   * @default 16
   */
  readonly hiddenSize?: number | undefined;
  /** The expected vector of a text, computed in the plainest way. Built-in modes need none. */
  readonly reference?: ((text: PooledText) => readonly number[]) | undefined;
  /**
   * The pooling looks at the column in which a token stands, so that padding on the left may change its result.
   * @default false
   */
  readonly dependsOnColumn?: boolean | undefined;
}

/**
 * A vitest suite that every pooling must pass, built in or not; call it at the top level of a test file. A text's
 * vector must be a function of its unmasked tokens alone: not of the values at padding, of the other rows, or of the
 * side of the padding.
 */
export function poolingContract(pooling: Pooling, options: PoolingContractOptions = {}): void {
  const { hiddenSize: size = 16, reference = naiveReference(pooling) } = options;
  const dependsOnColumn = options.dependsOnColumn ?? pooling.modes?.includes('weightedmean') ?? false;
  const texts = [7, 1, 12, 3, 5, 4].map((length, index) => randomVectors(length, size, index + 1));
  const pool = ({ tokens, batch }: PaddedTexts): number[][] => rowsOf(pooling.pool(tokens, batch));

  describe(`pooling contract of ${pooling.name}`, () => {
    it('gives a row for each text, of the size that it promises', () => {
      for (const few of [[], texts.slice(0, 1), texts]) {
        const { tokens, batch } = padRight(few, size);
        const { data, rows, cols } = pooling.pool(tokens, batch);
        const promised = pooling.outputSize(size);
        expect({ rows, cols, entries: data.length }).toEqual({
          rows: few.length,
          cols: promised,
          entries: few.length * promised,
        });
      }
    });

    it.skipIf(reference === undefined)('agrees with its reference (skipped without one)', () => {
      for (const padded of [padRight(texts, size), padLeft(texts, size), withHoles(padRight(texts, size))]) {
        expect(largestDifference(pool(padded), pooledTexts(padded).map(reference!))).toBeLessThanOrEqual(1e-5);
      }
    });

    it('does not look at masked tokens', () => {
      for (const padded of [padRight(texts, size), padLeft(texts, size), withHoles(padRight(texts, size))]) {
        const expected = pool(padded);
        for (const garbage of [NaN, Infinity, 1e30, -1e30]) {
          expect(largestDifference(pool(fillMasked(padded, garbage)), expected)).toBe(0);
        }
      }
    });

    it('gives a text the same vector alone, in any batch and in any order', () => {
      const together = pool(padRight(texts, size, 20));
      const alone = texts.flatMap((text) => pool(padRight([text], size)));
      const reversed = pool(padRight(texts.toReversed(), size)).toReversed();
      for (const rows of [alone, reversed]) expect(largestDifference(rows, together)).toBeLessThanOrEqual(1e-6);
    });

    it.skipIf(dependsOnColumn)(
      'does not depend on the side of the padding (skipped for poolings that look at columns)',
      () => {
        expect(largestDifference(pool(padLeft(texts, size)), pool(padRight(texts, size)))).toBeLessThanOrEqual(1e-6);
      },
    );

    it('gives zeros for a text when none of its tokens takes part, and leaves the other texts alone', () => {
      const { tokens, batch } = padRight(texts, size);
      const expected = pool({ tokens, batch });
      const mask = batch.mask.slice();
      mask.fill(0, 2 * batch.cols, 3 * batch.cols);
      expected[2] = Array.from({ length: pooling.outputSize(size) }, () => 0);
      expect(largestDifference(pool({ tokens, batch: { ...batch, mask } }), expected)).toBe(0);
    });

    it('leaves its input as it was, and its earlier results', () => {
      const { tokens, batch } = padRight(texts, size);
      const before = [tokens.data.slice(), batch.ids.slice(), batch.mask.slice()];
      const first = pooling.pool(tokens, batch).data;
      const copy = first.slice();
      pool(padRight(texts.toReversed(), size));
      expect([tokens.data, batch.ids, batch.mask, first]).toEqual([...before, copy]);
    });
  });
}

/** Each built-in mode in the plainest form, after `sentence_transformers/sentence_transformer/modules/pooling.py`. */
const naivePooling: Readonly<Record<PoolingMode, (text: PooledText) => number[]>> = {
  cls: ({ vectors }) => [...vectors[0]!],
  lasttoken: ({ vectors }) => [...vectors.at(-1)!],
  max: ({ vectors }) => vectors[0]!.map((_, i) => Math.max(...vectors.map((vector) => vector[i]!))),
  mean: (text) => weightedSum(text, () => 1, text.vectors.length),
  mean_sqrt_len_tokens: (text) => weightedSum(text, () => 1, Math.sqrt(text.vectors.length)),
  weightedmean: (text) => {
    const total = text.columns.reduce((sum, column) => sum + column + 1, 0);
    return weightedSum(text, (column) => column + 1, total);
  },
};

function naiveReference({ modes }: Pooling): ((text: PooledText) => number[]) | undefined {
  return modes && ((text) => modes.flatMap((mode) => naivePooling[mode](text)));
}

function weightedSum({ vectors, columns }: PooledText, weight: (column: number) => number, divisor: number): number[] {
  return vectors[0]!.map(
    (_, i) => vectors.reduce((total, vector, at) => total + vector[i]! * weight(columns[at]!), 0) / divisor,
  );
}

function pooledTexts({ tokens, batch: { mask, rows, cols } }: PaddedTexts): PooledText[] {
  const vectors = rowsOf(tokens);
  return Array.from({ length: rows }, (_, row) => {
    const columns = Array.from({ length: cols }, (__, column) => column).filter(
      (column) => mask[row * cols + column] === 1,
    );
    return { vectors: columns.map((column) => vectors[row * cols + column]!), columns };
  });
}

/** NaN when there is one in either, so that no bound accepts it; infinite when the sizes differ. */
function largestDifference(actual: readonly (readonly number[])[], expected: readonly (readonly number[])[]): number {
  if (actual.length !== expected.length || actual.some((row, index) => row.length !== expected[index]!.length))
    return Infinity;
  return Math.max(0, ...actual.flatMap((row, index) => row.map((value, i) => Math.abs(value - expected[index]![i]!))));
}
