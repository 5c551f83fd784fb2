// Operations that are applied entry by entry, in TensorFlow.js.
import type { ElementwiseOperations, Operand } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '../tensor-flow.ts';
import { geluKernel } from '../kernels/layers.ts';
import { detached, differentiable, hasKernel, sumTo } from './differentiable.ts';

type Compare = 'greater' | 'equal';

export function elementwise(tf: TensorFlow): ElementwiseOperations<TfTensor> {
  const fixed = (operand: Operand<TfTensor>): TfTensor | number =>
    typeof operand === 'number' ? operand : detached(tf, operand);
  const compare = (kind: Compare, a: Operand<TfTensor>, b: Operand<TfTensor>): TfTensor =>
    tf.cast(tf[kind](fixed(a), fixed(b)), 'float32');

  /** 1 for the larger one, a half for equal ones. */
  const share = (chosen: Operand<TfTensor>, other: Operand<TfTensor>): TfTensor =>
    tf.add(compare('greater', chosen, other), tf.mul(compare('equal', chosen, other), 0.5));

  return {
    add: (a, b) => tf.add(a, b),
    subtract: (a, b) => tf.sub(a, b),
    multiply: (a, b) => tf.mul(a, b),
    divide: (a, b) => tf.div(a, b),

    maximum(a, b) {
      const tensors = [a, b].filter((operand) => typeof operand !== 'number');
      return differentiable(tf, tensors, () => ({
        value: tf.maximum(a, b),
        saved: tensors,
        gradients: (d, saved) => {
          const remaining = [...saved];
          const [left, right] = [a, b].map((operand) =>
            typeof operand === 'number' ? operand : remaining.shift()!,
          ) as [typeof a, typeof b];
          const ways = [
            [left, right],
            [right, left],
          ] as const;
          return ways.flatMap(([chosen, other]) =>
            typeof chosen === 'number' ? [] : [sumTo(tf, tf.mul(d, share(chosen, other)), chosen.shape)],
          );
        },
      }));
    },

    greater: (a, b) => compare('greater', a, b),
    equal: (a, b) => compare('equal', a, b),

    where(condition, a, b) {
      const shapes = [condition, a, b].map((operand) => (typeof operand === 'number' ? [] : operand.shape));
      const shape = shapes.reduce((broadcast, each) => tf.broadcast_util.assertAndGetBroadcastShape(broadcast, each));
      const [chosen, left, right] = [tf.notEqual(detached(tf, condition), 0), a, b].map((operand) =>
        spread(tf, operand, shape),
      );
      return tf.where(chosen!, left!, right!);
    },

    exp: (x) => tf.exp(x),
    log: (x) => tf.log(x),
    sqrt: (x) => tf.sqrt(x),
    tanh: (x) => tf.tanh(x),
    sigmoid: (x) => tf.sigmoid(x),
    erf: (x) => tf.erf(x),
    relu: (x) => tf.relu(x),

    gelu(x) {
      const cumulative = (input: TfTensor): TfTensor => tf.mul(tf.add(tf.erf(tf.mul(input, Math.SQRT1_2)), 1), 0.5);
      return differentiable(tf, [x], () => ({
        value: hasKernel(tf, geluKernel) ? tf.engine().runKernel(geluKernel, { x }) : tf.mul(x, cumulative(x)),
        saved: [x],
        gradients: (d, [input]) => {
          const density = tf.mul(tf.exp(tf.mul(tf.square(input!), -0.5)), 1 / Math.sqrt(2 * Math.PI));
          return [tf.mul(d, tf.add(cumulative(input!), tf.mul(input!, density)))];
        },
      }));
    },
  };
}

/** `operand`, repeated to `shape`. The gradient is summed at once, where that of TensorFlow.js adds slice by slice. */
export function spread(tf: TensorFlow, operand: Operand<TfTensor>, shape: readonly number[]): TfTensor {
  if (typeof operand === 'number') return tf.broadcastTo(tf.scalar(operand), [...shape]);
  if (operand.shape.join() === shape.join()) return operand;
  const from = operand.shape;
  return differentiable(tf, [operand], () => ({
    value: tf.broadcastTo(operand, [...shape]),
    saved: [],
    gradients: (d) => [sumTo(tf, d, from)],
  }));
}
