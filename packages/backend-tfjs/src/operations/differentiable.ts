import type { TensorFlow, TfTensor } from '../tensor-flow.ts';

/** The result of an operation, and its backward pass: from the gradient of the result to the gradients of the inputs. */
export interface Differentiable {
  readonly value: TfTensor;
  /** Tensors that the backward pass needs, stored until then. */
  readonly saved: readonly TfTensor[];
  readonly gradients: (gradient: TfTensor, saved: readonly TfTensor[]) => TfTensor[];
}

/**
 * An operation whose gradient is not the one that TensorFlow.js would derive: because that one is wrong (a sum
 * along an inner axis, ties of a maximum), missing, or far slower (a broadcast).
 */
export function differentiable(tf: TensorFlow, inputs: readonly TfTensor[], compute: () => Differentiable): TfTensor {
  const operation = tf.customGrad((...tensorsAndSave) => {
    const save = tensorsAndSave.at(-1) as (tensors: TfTensor[]) => void;
    const { value, saved, gradients } = compute();
    save([...saved]);
    return { value, gradFunc: (gradient: TfTensor, tensors: TfTensor[]) => gradients(gradient, tensors) };
  });
  return operation(...inputs);
}

/** The same numbers, through which no gradient flows. */
export function detached(tf: TensorFlow, x: TfTensor): TfTensor {
  const { dataId, shape, dtype } = x;
  // What the kernel Identity does, without an entry on the tape.
  tf.backend().incRef(dataId);
  return tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype });
}

/** Sums what broadcasting has repeated: the gradient of an operand of that shape. */
export function sumTo(tf: TensorFlow, gradient: TfTensor, shape: number[]): TfTensor {
  const axes = tf.broadcast_util.getReductionAxes(shape, gradient.shape);
  return axes.length === 0 ? gradient : tf.reshape(tf.sum(gradient, axes), shape);
}

/** Whether the present backend has a kernel. */
export function hasKernel(tf: TensorFlow, name: string): boolean {
  return tf.getKernel(name, tf.getBackend()) !== undefined;
}
