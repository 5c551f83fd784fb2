import type { ReductionOperations } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '../tensor-flow.ts';
import { differentiable } from './differentiable.ts';

export function reductions(tf: TensorFlow): ReductionOperations<TfTensor> {
  /** Reshapes a reduced tensor: gives it back the removed axes with size 1. */
  const restore = (reduced: TfTensor, shape: readonly number[], axes: readonly number[]): TfTensor => {
    const removed = new Set(axes.map((axis) => (axis < 0 ? axis + shape.length : axis)));
    return tf.reshape(
      reduced,
      shape.map((size, axis) => (removed.has(axis) ? 1 : size)),
    );
  };

  return {
    sum: (x, axes, keepAxes = false) => tf.sum(x, [...axes], keepAxes),

    max: (x, axes, keepAxes = false) =>
      differentiable(tf, [x], () => {
        const value = tf.max(x, [...axes], keepAxes);
        return {
          value,
          saved: [x, value],
          gradients: (d, [input, largest]) => {
            const winners = tf.cast(tf.equal(input!, restore(largest!, input!.shape, axes)), 'float32');
            return [tf.mul(winners, tf.div(restore(d, input!.shape, axes), tf.sum(winners, [...axes], true)))];
          },
        };
      }),

    logSumExp: (x, axes, keepAxes = false) =>
      differentiable(tf, [x], () => {
        const value = tf.logSumExp(x, [...axes], keepAxes);
        return {
          value,
          saved: [x, value],
          gradients: (d, [input, result]) => [
            tf.mul(restore(d, input!.shape, axes), tf.exp(tf.sub(input!, restore(result!, input!.shape, axes)))),
          ],
        };
      }),

    cumulativeSum: (x, axis) =>
      differentiable(tf, [x], () => ({
        value: tf.cumsum(x, axis < 0 ? axis + x.rank : axis),
        saved: [],
        gradients: (d) => [tf.cumsum(d, axis < 0 ? axis + d.rank : axis, false, true)],
      })),
  };
}
