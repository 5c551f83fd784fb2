import type { TokenBatch } from '@sentvec/core';

/**
 * Kernels of the GPU read four numbers at a time, and some are wrong about attention over a length that four does not
 * divide.
 */
const step = 4;

/**
 * The batch, padded to a length that suits the GPU, as far as the model has positions; itself where it fits already.
 */
export function padForDevice(batch: TokenBatch, maxPositions: number): TokenBatch {
  const { rows, cols } = batch;
  const length = Math.max(cols, Math.min(Math.ceil(cols / step) * step, maxPositions));
  if (length === cols) return batch;
  return { rows, cols: length, ids: widen(batch.ids, batch, length), mask: widen(batch.mask, batch, length) };
}

/** A number for each token, with zeros where each text is longer now. */
export function widen(values: Int32Array, { rows, cols }: TokenBatch, length: number): Int32Array {
  const result = new Int32Array(rows * length);
  for (let row = 0; row < rows; row += 1) result.set(values.subarray(row * cols, (row + 1) * cols), row * length);
  return result;
}
