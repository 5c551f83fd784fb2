import { attentionInBlocks, immediateControl, type Operations } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '../tensor-flow.ts';
import { detached } from './differentiable.ts';
import { elementwise } from './elementwise.ts';
import { layers } from './layers.ts';
import { movement } from './movement.ts';
import { reductions } from './reductions.ts';

/**
 * The tensor operations, executed at once by TensorFlow.js on its present backend. Call them within `tf.tidy`. Their
 * gradients are those of TensorFlow.js (`tf.grads`), which `@tensorflow/tfjs` registers when it is imported, and
 * `@tensorflow/tfjs-core` alone does not.
 */
export function tfjsOperations(tf: TensorFlow): Operations<TfTensor> {
  const moves = movement(tf);
  const control = immediateControl(moves);
  const operations: Operations<TfTensor> = {
    ...elementwise(tf),
    ...layers(tf),
    ...moves,
    ...reductions(tf),
    ...control,
    inBlocks: (count, sizes, axis, compute) =>
      control.inBlocks(count, sizes, axis, (block) => tf.tidy(() => compute(block))),
    attention: (queries, keys, values) => attentionInBlocks(operations, queries, keys, values),

    shape: (x) => x.shape,
    constant: (data, shape) => tf.tensor(data, [...shape], data instanceof Int32Array ? 'int32' : 'float32'),
    size: (dimension) => tf.scalar(Number(dimension)),
    range: (length) => tf.range(0, Number(length), 1, 'int32'),
    toFloat: (indices) => tf.cast(indices, 'float32'),
    toIndex: (x) => tf.cast(detached(tf, x), 'int32'),
    detach: (x) => detached(tf, x),
  };
  return operations;
}
