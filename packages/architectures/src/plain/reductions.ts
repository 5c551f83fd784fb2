// Reductions along axes in plain TypeScript.
import type { ReductionOperations } from '../operations.ts';
import { reducedShape, resolveAxes, resolveAxis } from '../shapes.ts';
import { entries, type FloatArrays, numericShape, type PlainTensor, strides, walk } from './tensor.ts';

/** Combines all entries along `axes`, starting with `initial`. */
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
  walk(x.shape, steps, ({ offset, position, count, step }) => {
    for (let i = 0; i < count; i += 1)
      result[offset + i * step] = combine(result[offset + i * step]!, x.data[position + i]!);
  });
  return result;
}

/** The operations, summed in float64; results are kept in `Floats`. */
export function reductions(Floats: FloatArrays): ReductionOperations<PlainTensor> {
  return {
    sum(x, axes, keepAxes = false) {
      return {
        data: Floats.from(reduce(x, axes, 0, (sum, entry) => sum + entry)),
        shape: numericShape(reducedShape(x.shape, axes, keepAxes)),
      };
    },

    max(x, axes, keepAxes = false) {
      return {
        data: Floats.from(reduce(x, axes, -Infinity, Math.max)),
        shape: numericShape(reducedShape(x.shape, axes, keepAxes)),
      };
    },

    logSumExp(x, axes, keepAxes = false) {
      const largest = reduce(x, axes, -Infinity, Math.max);
      const resolved = resolveAxes(x.shape, axes);
      const reduced = numericShape(reducedShape(x.shape, axes, true));
      const steps = strides(reduced).map((step, axis) => (resolved.includes(axis) ? 0 : step));
      const sums = new Float64Array(largest.length);
      walk(x.shape, steps, ({ offset, position, count, step }) => {
        for (let i = 0; i < count; i += 1) {
          const at = offset + i * step;
          sums[at]! += Math.exp(x.data[position + i]! - largest[at]!);
        }
      });
      return {
        data: Floats.from(sums.map((sum, i) => Math.log(sum) + largest[i]!)),
        shape: numericShape(reducedShape(x.shape, axes, keepAxes)),
      };
    },

    cumulativeSum(x, axis) {
      const at = resolveAxis(x.shape, axis);
      const step = strides(x.shape)[at]!;
      const size = x.shape[at]!;
      const data = Floats.from(x.data);
      for (let i = 0; i < data.length; i += 1) {
        if (Math.floor(i / step) % size > 0) data[i]! += data[i - step]!;
      }
      return { data, shape: x.shape };
    },
  };
}
