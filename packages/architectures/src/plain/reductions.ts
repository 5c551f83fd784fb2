// Reductions along axes in plain TypeScript.
import type { ReductionOperations } from '../operations.ts';
import { reducedShape, resolveAxes, resolveAxis } from '../shapes.ts';
import { entries, numericShape, type PlainTensor, strides, walk } from './tensor.ts';

/** Combines all entries that differ in their position along `axes` only, beginning with `initial`. */
function reduce(
  x: PlainTensor,
  axes: readonly number[],
  initial: number,
  combine: (sum: number, entry: number) => number,
): Float64Array {
  const resolved = resolveAxes(x.shape, axes);
  const reduced = numericShape(reducedShape(x.shape, axes, true));
  const steps = strides(reduced).map((step, axis) => (resolved.includes(axis) ? 0 : step));
  const result = new Float64Array(entries(reduced)).fill(initial);
  walk(x.shape, steps, (offset, position) => {
    result[offset] = combine(result[offset]!, x.data[position]!);
  });
  return result;
}

export const reductions: ReductionOperations<PlainTensor> = {
  sum(x, axes, keepAxes = false) {
    return {
      data: reduce(x, axes, 0, (sum, entry) => sum + entry),
      shape: numericShape(reducedShape(x.shape, axes, keepAxes)),
    };
  },

  max(x, axes, keepAxes = false) {
    return { data: reduce(x, axes, -Infinity, Math.max), shape: numericShape(reducedShape(x.shape, axes, keepAxes)) };
  },

  logSumExp(x, axes, keepAxes = false) {
    const largest = reduce(x, axes, -Infinity, Math.max);
    const resolved = resolveAxes(x.shape, axes);
    const reduced = numericShape(reducedShape(x.shape, axes, true));
    const steps = strides(reduced).map((step, axis) => (resolved.includes(axis) ? 0 : step));
    const sums = new Float64Array(largest.length);
    walk(x.shape, steps, (offset, position) => {
      sums[offset]! += Math.exp(x.data[position]! - largest[offset]!);
    });
    return {
      data: sums.map((sum, i) => Math.log(sum) + largest[i]!),
      shape: numericShape(reducedShape(x.shape, axes, keepAxes)),
    };
  },

  cumulativeSum(x, axis) {
    const at = resolveAxis(x.shape, axis);
    const step = strides(x.shape)[at]!;
    const size = x.shape[at]!;
    const data = Float64Array.from(x.data);
    for (let i = 0; i < data.length; i += 1) {
      if (Math.floor(i / step) % size > 0) data[i]! += data[i - step]!;
    }
    return { data, shape: x.shape };
  },
};
