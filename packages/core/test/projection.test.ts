import { applyProjections, projectionOutputSize, readWeights, type Matrix, type Projection } from '@sentvec/core';
import { goldenExpectation, goldenModel } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';

const matrix = (rows: readonly (readonly number[])[]): Matrix => ({
  data: Float32Array.from(rows.flat()),
  rows: rows.length,
  cols: rows[0]?.length ?? 0,
});
const rowsOf = ({ data, rows, cols }: Matrix) =>
  Array.from({ length: rows }, (_, row) => [...data.subarray(row * cols, (row + 1) * cols)]);
const numbers = (rows: number, cols: number, seed: number) =>
  Array.from({ length: rows }, (_, r) =>
    Array.from({ length: cols }, (__, c) => Math.fround(Math.sin(seed + 12.9898 * r + 78.233 * c))),
  );
const product = (x: number[][], w: number[][]) =>
  x.map((row) => w.map((out) => out.reduce((sum, value, i) => sum + value * row[i]!, 0)));

/** The largest absolute difference: infinite when the shapes differ, NaN (which fails every comparison) with a NaN. */
function difference(actual: Matrix, expected: readonly (readonly number[])[]): number {
  const rows = rowsOf(actual);
  if (rows.length !== expected.length || rows.some((row, r) => row.length !== expected[r]!.length)) return Infinity;
  return Math.max(...expected.flatMap((row, r) => row.map((value, c) => Math.abs(value - rows[r]![c]!))));
}

describe('dense', () => {
  it.each([1, 3, 4, 7, 9])('multiplies by %i rows of weights', (outputs) => {
    const [x, w] = [numbers(3, 5, 1), numbers(outputs, 5, 2)];
    const bias = Float32Array.from(numbers(1, outputs, 3)[0]!);
    const plain = product(x, w);
    expect(
      difference(applyProjections([{ kind: 'dense', weight: matrix(w), activation: 'Identity' }], matrix(x)), plain),
    ).toBeLessThanOrEqual(1e-6);
    expect(
      difference(
        applyProjections([{ kind: 'dense', weight: matrix(w), bias, activation: 'Tanh' }], matrix(x)),
        plain.map((row) => row.map((value, i) => Math.tanh(value + bias[i]!))),
      ),
    ).toBeLessThanOrEqual(1e-6);
  });

  it('adds the residual after the activation, multiplied by its own weights when the sizes differ', () => {
    const [x, w, r] = [numbers(2, 4, 1), numbers(4, 4, 2), numbers(3, 4, 5)];
    expect(
      difference(
        applyProjections([{ kind: 'dense', weight: matrix(w), activation: 'ReLU', residual: true }], matrix(x)),
        product(x, w).map((row, i) => row.map((value, j) => Math.max(0, value) + x[i]![j]!)),
      ),
    ).toBeLessThanOrEqual(1e-6);
    const through = product(x, r);
    expect(
      difference(
        applyProjections(
          [
            {
              kind: 'dense',
              weight: matrix(w.slice(1)),
              activation: 'ReLU',
              residual: true,
              residualWeight: matrix(r),
            },
          ],
          matrix(x),
        ),
        product(x, w.slice(1)).map((row, i) => row.map((value, j) => Math.max(0, value) + through[i]![j]!)),
      ),
    ).toBeLessThanOrEqual(1e-6);
  });
});

describe('the other projections', () => {
  it('normalize divides by the norm and keeps vectors of zeros', () => {
    expect(
      difference(
        applyProjections(
          [{ kind: 'normalize' }],
          matrix([
            [3, 4],
            [0, 0],
            [1e-14, 0],
          ]),
        ),
        [
          [0.6, 0.8],
          [0, 0],
          [0.01, 0],
        ],
      ),
    ).toBeLessThanOrEqual(6e-8);
  });

  it('layer norm subtracts the mean, divides by the standard deviation, scales and shifts', () => {
    const x = [1, 2, 4, 9];
    const [mean, variance] = [4, (9 + 4 + 0 + 25) / 4];
    const norm: Projection = {
      kind: 'layer-norm',
      weight: new Float32Array([1, 2, 3, 4]),
      bias: new Float32Array([0, 1, 0, -1]),
      epsilon: 0.5,
    };
    expect(
      difference(applyProjections([norm], matrix([x, [5, 5, 5, 5]])), [
        x.map((value, i) => ((value - mean) / Math.sqrt(variance + 0.5)) * norm.weight[i]! + norm.bias[i]!),
        [0, 1, 0, -1],
      ]),
    ).toBeLessThanOrEqual(1e-6);
  });

  it('truncate keeps the first entries, or all when there are fewer', () => {
    expect(
      difference(
        applyProjections(
          [{ kind: 'truncate', size: 2 }],
          matrix([
            [1, 2, 3],
            [4, 5, 6],
          ]),
        ),
        [
          [1, 2],
          [4, 5],
        ],
      ),
    ).toBeLessThanOrEqual(1e-6);
    expect(
      difference(applyProjections([{ kind: 'truncate', size: 9 }], matrix([[1, 2, 3]])), [[1, 2, 3]]),
    ).toBeLessThanOrEqual(1e-6);
  });
});

describe('a chain of projections', () => {
  const chain: Projection[] = [
    { kind: 'normalize' },
    { kind: 'dense', weight: matrix(numbers(7, 6, 4)), activation: 'GELU' },
    { kind: 'truncate', size: 5 },
    { kind: 'layer-norm', weight: new Float32Array(5).fill(1), bias: new Float32Array(5), epsilon: 1e-5 },
    { kind: 'normalize' },
  ];

  it('does not change its input', () => {
    const input = matrix(numbers(3, 6, 1));
    const before = input.data.slice();
    const output = applyProjections(chain, input);
    expect(input.data).toEqual(before);
    expect([output.rows, output.cols]).toEqual([3, 5]);
    expect(applyProjections([], input)).toBe(input);
  });

  it('gives a row the same bits alone and among other rows', () => {
    const rows = numbers(9, 6, 1);
    const together = rowsOf(applyProjections(chain, matrix(rows)));
    for (const [index, row] of rows.entries())
      expect(rowsOf(applyProjections(chain, matrix([row])))[0]).toEqual(together[index]);
  });

  it('accepts a matrix without rows', () => {
    expect(applyProjections(chain, { data: new Float32Array(0), rows: 0, cols: 6 })).toMatchObject({
      rows: 0,
      cols: 5,
    });
  });

  it('has the output size of its last projection', () => {
    expect(chain.reduce((size, projection) => projectionOutputSize(projection, size), 6)).toBe(5);
  });
});

it.each<[string, Projection, RegExp]>([
  [
    'a dense layer for a shorter vector',
    { kind: 'dense', weight: matrix([[1, 2]]), activation: 'Identity' },
    /1 × 2 gets vectors of 3/u,
  ],
  [
    'too few biases',
    { kind: 'dense', weight: matrix([[1, 2, 3]]), bias: new Float32Array(2), activation: 'Identity' },
    /2 biases/u,
  ],
  [
    'no residual weights',
    { kind: 'dense', weight: matrix([[1, 2, 3]]), activation: 'Tanh', residual: true },
    /residual of 3 × 3/u,
  ],
  [
    'residual weights of another shape',
    {
      kind: 'dense',
      weight: matrix([[1, 2, 3]]),
      activation: 'Tanh',
      residual: true,
      residualWeight: matrix([[1, 2]]),
    },
    /residual of 1 × 2/u,
  ],
  [
    'a layer norm of another length',
    { kind: 'layer-norm', weight: new Float32Array(3), bias: new Float32Array(2), epsilon: 0 },
    /3 and 2 entries/u,
  ],
])('refuses vectors that do not fit: %s', (_, projection, message) => {
  expect(() => projectionOutputSize(projection, 3)).toThrow(message);
  expect(() => applyProjections([projection], matrix([[1, 2, 3]]))).toThrow(message);
});

it.each(['tiny-roberta', 'tiny-bert-multipool'])(
  'computes the final vectors of the golden model %s from its pooled ones',
  async (name) => {
    const weights = await readWeights(goldenModel(name), '2_Dense/model.safetensors');
    const {
      shape: [rows = 0, cols = 0],
      data,
    } = weights.tensor('linear.weight');
    const bias = weights.tensor('linear.bias').data;
    const normalized = name === 'tiny-roberta';
    const dense: Projection = {
      kind: 'dense',
      weight: { data, rows, cols },
      bias,
      activation: normalized ? 'Tanh' : 'Identity',
    };
    const { cases, prompted } = goldenExpectation(name);
    const all = [...cases, ...prompted];
    const result = applyProjections(
      normalized ? [dense, { kind: 'normalize' }] : [dense],
      matrix(all.map((golden) => golden.pooled)),
    );
    expect(
      difference(
        result,
        all.map((golden) => golden.embedding),
      ),
    ).toBeLessThanOrEqual(2e-6);
  },
);
