import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { OnnxRecorder, OnnxTensor, PlainTensor } from '@sentvec/architectures';
import { plainIndices, plainTensor } from '@sentvec/architectures';

/** Runs a recorded graph in onnxruntime. Inputs and outputs are plain tensors. */
export async function runOnnx(
  model: Uint8Array,
  feeds: Readonly<Record<string, PlainTensor>>,
  threads = 1,
): Promise<Record<string, PlainTensor>> {
  const session = await InferenceSession.create(model, { intraOpNumThreads: threads });
  const results = await session.run(
    Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toOnnx(tensor)])),
  );
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data, dims, type }]) => {
      const numbers = Array.from(data as Iterable<number | bigint>, Number);
      return [name, type === 'int64' ? plainIndices(numbers, dims) : plainTensor(numbers, dims)];
    }),
  );
}

function toOnnx({ data, shape }: PlainTensor): Tensor {
  if (data instanceof Int32Array) return new Tensor('int64', BigInt64Array.from(data, BigInt), shape);
  return new Tensor('float32', Float32Array.from(data), shape);
}

/**
 * Declares the inputs `x0`, `x1` … for tensors. If `dynamic` is true, sizes other than 1 are names, the same for equal
 * sizes.
 */
export function declareInputs(recorder: OnnxRecorder, tensors: readonly PlainTensor[], dynamic: boolean): OnnxTensor[] {
  return tensors.map(({ data, shape }, i) =>
    recorder.input(
      `x${i}`,
      data instanceof Int32Array ? 'index' : 'float',
      dynamic ? shape.map((size) => (size === 1 ? 1 : `s${size}`)) : shape,
    ),
  );
}

/** The inputs for a graph with `declareInputs`. */
export function feedsOf(tensors: readonly PlainTensor[]): Record<string, PlainTensor> {
  return Object.fromEntries(tensors.map((tensor, i) => [`x${i}`, tensor]));
}

/** The largest absolute difference between two tensors of the same shape; infinite with a NaN. */
export function largestDifference(a: PlainTensor, b: PlainTensor): number {
  if (a.shape.join() !== b.shape.join()) throw new Error(`Shapes [${a.shape.join()}] and [${b.shape.join()}] differ.`);
  let largest = 0;
  for (let i = 0; i < a.data.length; i += 1) {
    const difference = Math.abs(a.data[i]! - b.data[i]!);
    largest = Number.isNaN(difference) ? Infinity : Math.max(largest, difference);
  }
  return largest;
}
