import { ScoreKernel, type PackedVectors } from '../search/score-kernel.ts';
import type { Matrix } from '../types.ts';

/** Rows of the input that are multiplied at once. */
const rowsOfBlock = 32;

/**
 * Keyed by the array of the weights: a kernel keeps a copy of them in its own memory, which takes longer than one
 * product.
 */
const kernels = new WeakMap<Float32Array, ScoreKernel>();

/**
 * `input · weightᵀ`, where `weight` has a row for each output: the dot product of each row with each row, which is what
 * the search computes, so by the same kernel (15 to 20 billion products a second on one core where loops in TypeScript
 * reach 2). A row's result does not depend on the other rows, to the last bit. The weights are copied at their first
 * use: later changes of them have no effect.
 */
export function productWithTransposed(input: Matrix, weight: Matrix): Matrix {
  const kernel = kernels.get(weight.data) ?? loadKernel(weight);
  const vectors = packed(input);
  const product = new Float32Array(input.rows * weight.rows);
  for (let row = 0; row < input.rows; row += rowsOfBlock) {
    const end = Math.min(row + rowsOfBlock, input.rows);
    kernel.loadQueries(vectors, row, end);
    const { values, stride } = kernel.score('dot');
    for (let at = row; at < end; at++) {
      const start = (at - row) * stride;
      product.set(values.subarray(start, start + weight.rows), at * weight.rows);
    }
  }
  return { data: product, rows: input.rows, cols: weight.rows };
}

function loadKernel(weight: Matrix): ScoreKernel {
  const vectors = packed(weight);
  const kernel = new ScoreKernel(vectors.bytesPerVector, rowsOfBlock, weight.rows);
  kernel.loadRows(vectors, 0, weight.rows);
  kernels.set(weight.data, kernel);
  return kernel;
}

function packed({ data, cols }: Matrix): PackedVectors {
  return {
    bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    bytesPerVector: cols * data.BYTES_PER_ELEMENT,
  };
}
