import { plainIndices, plainTensor, type PlainTensor } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '@sentvec/backend-tfjs';

export function fromPlain(tf: TensorFlow, { data, shape }: PlainTensor): TfTensor {
  return data instanceof Int32Array
    ? tf.tensor(data, [...shape], 'int32')
    : tf.tensor(Float32Array.from(data), [...shape], 'float32');
}

export function toPlain(tensor: TfTensor): PlainTensor {
  const data = tensor.dataSync();
  return tensor.dtype === 'int32' ? plainIndices(data, tensor.shape) : plainTensor(data, tensor.shape);
}

/** The largest difference between two tensors of one shape. */
export function largestDifference(a: PlainTensor, b: PlainTensor): number {
  if (a.shape.join() !== b.shape.join()) throw new Error(`Shapes [${a.shape.join()}] and [${b.shape.join()}] differ.`);
  let largest = 0;
  for (const [i, entry] of a.data.entries()) {
    const difference = Math.abs(entry - b.data[i]!);
    largest = Number.isNaN(difference) ? Infinity : Math.max(largest, difference);
  }
  return largest;
}

/** As `tf.tidy`, for results that are not tensors. */
export function tidied<T>(tf: TensorFlow, compute: () => T): T {
  tf.engine().startScope();
  try {
    return compute();
  } finally {
    tf.engine().endScope();
  }
}
