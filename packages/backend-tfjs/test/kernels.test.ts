import { onBackend, openRuntime, type Runtime, type TfTensor } from '@sentvec/backend-tfjs';
// Registers the gradients of TensorFlow.js.
import '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { random } from '../../architectures/test/operation-cases.ts';
import { fromPlain, largestDifference, tidied, toPlain } from './plain-tensors.ts';

let wasm: Runtime;
let cpu: Runtime;

beforeAll(async () => {
  cpu = await openRuntime('cpu');
  wasm = await openRuntime('wasm');
});

/** Float32 sums in another order. */
const tolerance = 2e-6;

/**
 * The largest difference between the results of both backends, relative to the largest entry. `Infinity` when a tensor
 * is left behind.
 */
function differenceFromCpu(compute: (tf: Runtime['tf']) => readonly TfTensor[]): number {
  const [found, expected] = [wasm, cpu].map((runtime) =>
    onBackend(runtime, () => tidied(runtime.tf, () => compute(runtime.tf).map((tensor) => toPlain(tensor)))),
  );
  if (wasm.tf.memory().numTensors !== 0) return Infinity;
  const differences = expected!.map(
    (tensor, index) => largestDifference(found![index]!, tensor) / (1 + Math.max(...Array.from(tensor.data, Math.abs))),
  );
  return Math.max(...differences);
}

/** Below, at and above the sizes of tiles, vectors and blocks. */
const sizes: readonly (readonly [rows: number, inner: number, cols: number])[] = [
  [1, 1, 1],
  [1, 7, 5],
  [2, 4, 4],
  [3, 3, 9],
  [5, 16, 1],
  [7, 33, 6],
  [65, 19, 10],
  [130, 12, 4],
];

describe.each(sizes)('products of [%i, %i] and [.., %i]', (rows, inner, cols) => {
  const ways = [false, true].flatMap((left) => [false, true].map((right) => [left, right] as const));

  it.each(ways)('transposed: %s, %s', (left, right) => {
    const a = random(left ? [inner, rows] : [rows, inner], 1);
    const b = random(right ? [cols, inner] : [inner, cols], 2);
    expect(differenceFromCpu((tf) => [tf.matMul(fromPlain(tf, a), fromPlain(tf, b), left, right)])).toBeLessThan(
      tolerance,
    );
  });

  it.each(ways)('in batches, transposed: %s, %s', (left, right) => {
    const batches = [2, 3];
    const a = random([...batches, ...(left ? [inner, rows] : [rows, inner])], 3);
    const b = random([...batches, ...(right ? [cols, inner] : [inner, cols])], 4);
    expect(differenceFromCpu((tf) => [tf.matMul(fromPlain(tf, a), fromPlain(tf, b), left, right)])).toBeLessThan(
      tolerance,
    );
  });

  it('of one matrix with many, either way round', () => {
    const [one, many] = [random([1, rows, inner], 5), random([4, inner, cols], 6)];
    expect(differenceFromCpu((tf) => [tf.matMul(fromPlain(tf, one), fromPlain(tf, many))])).toBeLessThan(tolerance);
    expect(differenceFromCpu((tf) => [tf.matMul(fromPlain(tf, many), fromPlain(tf, one), true, true)])).toBeLessThan(
      tolerance,
    );
  });

  it('with a bias', () => {
    const [a, b, bias] = [random([rows, inner], 7), random([cols, inner], 8), random([cols], 9)];
    expect(
      differenceFromCpu((tf) => {
        const [left, right, plus] = [a, b, bias].map((tensor) => fromPlain(tf, tensor));
        return [tf.fused.matMul({ a: left!, b: right!, bias: plus!, transposeB: true })];
      }),
    ).toBeLessThan(tolerance);
  });

  it('have the same gradients', () => {
    const [a, b] = [random([2, rows, inner], 10), random([2, cols, inner], 11)];
    const factors = random([2, rows, cols], 12);
    expect(
      differenceFromCpu((tf) => {
        const loss = (x: TfTensor, y: TfTensor): TfTensor =>
          tf.sum(tf.mul(tf.matMul(x, y, false, true), fromPlain(tf, factors)));
        return tf.grads(loss)([fromPlain(tf, a), fromPlain(tf, b)]);
      }),
    ).toBeLessThan(tolerance);
  });
});

describe('rows of a table', () => {
  const indices = [4, 0, 4, 4, 2];

  it.each([1, 3, 8])('of width %i: their gradient adds up where a row is taken several times', (width) => {
    const [table, factors] = [random([6, width], 1), random([indices.length, width], 2)];
    expect(
      differenceFromCpu((tf) => {
        const rows = (from: TfTensor): TfTensor => tf.gather(from, tf.tensor1d(indices, 'int32'), 0);
        const parameter = fromPlain(tf, table);
        return [
          rows(parameter),
          tf.grad((from: TfTensor) => tf.sum(tf.mul(rows(from), fromPlain(tf, factors))))(parameter),
        ];
      }),
    ).toBeLessThan(tolerance);
  });

  it.each([[[]], [[3]], [[2, 3]]])('with further axes %j', (rest) => {
    const [table, factors] = [random([6, ...rest], 3), random([5, ...rest], 4)];
    expect(
      differenceFromCpu((tf) => {
        const rows = (from: TfTensor): TfTensor => tf.gather(from, tf.tensor1d(indices, 'int32'), 0);
        return [tf.grad((from: TfTensor) => tf.sum(tf.mul(rows(from), fromPlain(tf, factors))))(fromPlain(tf, table))];
      }),
    ).toBeLessThan(tolerance);
  });

  it('that are not there are refused, instead of read from somewhere in memory', () => {
    const gather = (row: number) => () =>
      onBackend(wasm, () =>
        tidied(wasm.tf, () => wasm.tf.gather(wasm.tf.zeros([6, 3]), wasm.tf.tensor1d([row], 'int32')).dataSync()),
      );
    expect(gather(5)).not.toThrow();
    expect(gather(6)).toThrow(/no row 6; there are 6/u);
    expect(gather(-1)).toThrow(/no row -1/u);
  });
});

describe.each([1, 4, 5, 23])('functions of %i entries', (count) => {
  it('erf, also far from 0', () => {
    const x = random([3, count], 5);
    expect(
      differenceFromCpu((tf) => [tf.erf(tf.mul(fromPlain(tf, x), 4)), tf.erf(tf.mul(fromPlain(tf, x), 1e4))]),
    ).toBeLessThan(tolerance);
  });
});
