import {
  createPooling,
  definePooling,
  poolingModes,
  resolvePooling,
  SentvecError,
  type PoolingMode,
} from '@sentvec/core';
import { goldenExpectation, goldenModelNames, poolingContract } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';

for (const mode of poolingModes) poolingContract(createPooling(mode));
poolingContract(createPooling(['max', 'cls', 'mean']));
poolingContract(createPooling(poolingModes.toReversed()));

const norm = definePooling({
  name: 'FirstAndNorm',
  create: ({ scale = 1 }) => ({
    outputSize: (hiddenSize) => hiddenSize + 1,
    pool: ({ data, cols: size }, { mask, rows, cols }) => {
      const pooled = new Float32Array(rows * (size + 1));
      for (let row = 0; row < rows; row++) {
        const first = mask.subarray(row * cols, (row + 1) * cols).indexOf(1);
        if (first === -1) continue;
        const vector = data.subarray((row * cols + first) * size, (row * cols + first + 1) * size);
        pooled.set([...vector, Math.hypot(...vector) * Number(scale)], row * (size + 1));
      }
      return { data: pooled, rows, cols: size + 1 };
    },
  }),
});
poolingContract(norm.create({}), {
  hiddenSize: 5,
  reference: ({ vectors: [first = []] }) => [...first, Math.hypot(...first)],
});

describe('pooled vectors', () => {
  // Two texts of two and three tokens, the first padded on the right.
  const tokens = { data: new Float32Array([1, 2, 3, -4, 9, 9, 0, 1, -1, 5, 6, 0]), rows: 6, cols: 2 };
  const batch = { ids: new Int32Array(6), mask: new Int32Array([1, 1, 0, 1, 1, 1]), rows: 2, cols: 3 };
  const expected: Record<PoolingMode, number[]> = {
    cls: [1, 2, 0, 1],
    max: [3, 2, 6, 5],
    mean: [2, -1, 5 / 3, 2],
    mean_sqrt_len_tokens: [4 / Math.SQRT2, -2 / Math.SQRT2, 5 / Math.sqrt(3), 6 / Math.sqrt(3)],
    weightedmean: [7 / 3, -2, 16 / 6, 11 / 6],
    lasttoken: [3, -4, 6, 0],
  };

  it.each(poolingModes)('of the mode %s have the expected values', (mode) => {
    expect([...createPooling(mode).pool(tokens, batch).data]).toEqual(expected[mode].map(Math.fround));
  });

  it('of several modes are concatenated in their order', () => {
    const { data, rows, cols } = createPooling(['lasttoken', 'cls']).pool(tokens, batch);
    expect({ data: [...data], rows, cols }).toEqual({ data: [3, -4, 1, 2, 6, 0, 0, 1], rows: 2, cols: 4 });
  });

  it.each(goldenModelNames)('of the golden model %s are computed from its token embeddings', (name) => {
    const modes: Record<string, PoolingMode[]> = {
      'tiny-roberta': ['cls'],
      'tiny-bert-multipool': ['cls', 'max', 'mean'],
    };
    const pooling = createPooling(modes[name] ?? 'mean');
    const cases = goldenExpectation(name).cases.filter((golden) => golden.token_embeddings);
    expect(cases.length).toBeGreaterThan(0);
    for (const { token_embeddings: vectors, pooled } of cases) {
      const cols = vectors!.length;
      const data = Float32Array.from(vectors!.flat());
      const one = new Int32Array(cols).fill(1);
      const result = pooling.pool(
        { data, rows: cols, cols: data.length / cols },
        { ids: one, mask: one, rows: 1, cols },
      );
      expect(Math.max(...pooled.map((value, i) => Math.abs(value - (result.data[i] ?? NaN))))).toBeLessThan(1e-6);
    }
  });

  it('contain NaN when the encoder returns NaN', () => {
    const broken = { data: new Float32Array([NaN, 1, 2, 3, 4, 5]), rows: 6, cols: 1 };
    for (const mode of ['max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'cls'] as const) {
      expect(createPooling(mode).pool(broken, { ...batch, mask: new Int32Array(6).fill(1) }).data[0]).toBeNaN();
    }
  });
});

describe('custom pooling', () => {
  it('has its config and reads include_prompt from it', () => {
    expect(norm.create({ scale: 2 })).toMatchObject({
      name: 'FirstAndNorm',
      config: { scale: 2 },
      includePrompt: true,
    });
    expect(norm.create({ include_prompt: false }).includePrompt).toBe(false);
    expect(norm.create({}).modes).toBeUndefined();
  });

  it('has an outputSize equal to the hidden size by default', () => {
    const zeros = definePooling({
      name: 'Zeros',
      create: () => ({ pool: ({ cols }, { rows }) => ({ data: new Float32Array(rows * cols), rows, cols }) }),
    });
    expect(zeros.create({}).outputSize(7)).toBe(7);
  });

  it('throws when its result has another shape than its outputSize declares', () => {
    const wrong = definePooling({
      name: 'Wrong',
      create: () => ({ pool: () => ({ data: new Float32Array(2), rows: 1, cols: 2 }) }),
    });
    const batch = { ids: new Int32Array(1), mask: new Int32Array(1), rows: 1, cols: 1 };
    expect(() => wrong.create({}).pool({ data: new Float32Array(3), rows: 1, cols: 3 }, batch)).toThrow(
      /"Wrong" gave 1 × 2 .* require 1 × 3/u,
    );
  });

  it.each(['', 'Pooling', 'mean'])('cannot be named "%s"', (name) => {
    expect(() => definePooling({ name, create: () => ({ pool: (tokens) => tokens }) })).toThrow(SentvecError);
  });
});

describe('resolvePooling', () => {
  it('accepts a mode, a list of modes, a definition and a pooling', () => {
    expect(resolvePooling('max').modes).toEqual(['max']);
    expect(resolvePooling(['max', 'cls'])).toMatchObject({ modes: ['max', 'cls'], name: 'max+cls' });
    expect(resolvePooling(norm).name).toBe('FirstAndNorm');
    const own = createPooling('cls', { includePrompt: false });
    expect(resolvePooling(own)).toBe(own);
    expect(own.includePrompt).toBe(false);
  });

  it('refuses unknown modes and an empty list', () => {
    expect(() => resolvePooling('median' as PoolingMode)).toThrow(/no pooling mode "median"/u);
    expect(() => resolvePooling([])).toThrow(/no pooling mode/u);
  });

  it('refuses token embeddings that do not fit the batch', () => {
    const batch = { ids: new Int32Array(2), mask: new Int32Array(2), rows: 1, cols: 2 };
    expect(() => createPooling('mean').pool({ data: new Float32Array(9), rows: 3, cols: 3 }, batch)).toThrow(
      /do not fit a batch of 1 × 2/u,
    );
  });
});
