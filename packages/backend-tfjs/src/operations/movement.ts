// Operations that move entries, in TensorFlow.js.
import type { MovementOperations, Shape } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '../tensor-flow.ts';
import { differentiable } from './differentiable.ts';
import { spread } from './elementwise.ts';

export function movement(tf: TensorFlow): MovementOperations<TfTensor> {
  return {
    reshape: (x, shape) => tf.reshape(x, sizes(shape)),

    transpose: (x, permutation) =>
      tf.transpose(
        x,
        permutation.map((axis) => resolveAxis(x, axis)),
      ),

    broadcastTo: (x, shape) => spread(tf, x, sizes(shape)),
    concat: (parts, axis) => tf.concat([...parts], resolveAxis(parts[0]!, axis)),

    slice(x, axis, start, length) {
      const along = resolveAxis(x, axis);
      const begin = x.shape.map((_, index) => (index === along ? Number(start) : 0));
      return tf.slice(x, begin, x.shape.with(along, Number(length)));
    },

    pad(x, axis, start, size) {
      const along = resolveAxis(x, axis);
      const after = Number(size) - Number(start) - x.shape[along]!;
      return tf.pad(
        x,
        x.shape.map((_, index) => (index === along ? [Number(start), after] : [0, 0])),
      );
    },

    gather: (table, indices) => tf.gather(table, indices, 0),

    scatterAdd(rows, indices, size) {
      const rest = rows.shape.slice(indices.rank);
      return differentiable(tf, [rows], () => ({
        value: tf.unsortedSegmentSum(
          tf.reshape(rows, [indices.size, ...rest]),
          tf.reshape(indices, [indices.size]),
          Number(size),
        ),
        saved: [indices],
        gradients: (d, [positions]) => [tf.gather(d, positions!, 0)],
      }));
    },
  };
}

/** A shape of numbers: there are no others where everything is computed at once. */
function sizes(shape: Shape): number[] {
  return shape.map(Number);
}

function resolveAxis(x: TfTensor, axis: number): number {
  return axis < 0 ? axis + x.rank : axis;
}
