// Tests whether onnxruntime multiplies 8-bit integers exactly on this CPU.
import { OnnxRecorder, quantizedLinear } from '@sentvec/architectures';
import { loadOnnxRuntime } from '../onnx-runtime.ts';

const [rows, width, outputs] = [8, 128, 32];
const largestByte = 255;

/**
 * Whether onnxruntime multiplies uint8 by int8 exactly on this CPU. On CPUs with AVX2 but without VNNI, the sum of two
 * products saturates at 16 bits.
 */
export async function multipliesBytesExactly(): Promise<boolean> {
  const recorder = new OnnxRecorder();
  const x = recorder.input('x', 'float', [rows, width]);
  const weight = {
    name: 'ones',
    numbers: new Float32Array(outputs * width).fill(1),
    shape: [outputs, width] as const,
    bits: 8 as const,
  };
  const range = { minimum: 0, maximum: largestByte, mean: new Float32Array(width) };
  recorder.output('y', quantizedLinear(recorder.graph, x, weight, undefined, range));
  const { InferenceSession, Tensor } = await loadOnnxRuntime();
  const session = await InferenceSession.create(recorder.encode(), { intraOpNumThreads: 1, logSeverityLevel: 4 });
  try {
    const largest = new Tensor('float32', new Float32Array(rows * width).fill(largestByte), [rows, width]);
    const { y } = await session.run({ x: largest });
    const expected = largestByte * width;
    return (y!.data as Float32Array).every((value) => Math.abs(value - expected) < expected * 1e-3);
  } finally {
    await session.release();
  }
}
