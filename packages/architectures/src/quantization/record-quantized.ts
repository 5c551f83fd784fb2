// Encoders as ONNX models whose weights are stored in fewer bits. Linear layers may also compute in 8-bit integers.
import type { EncoderDefinition } from '../encoders/definition.ts';
import type { OnnxTensor } from '../onnx/graph-builder.ts';
import { halfWeight, integerWeight, quantizedLinear } from '../onnx/quantized-linear.ts';
import type { OnnxRecorder } from '../onnx/recorder.ts';
import { recordLinear } from './linear-inputs.ts';
import type { QuantizationPlan } from './plan.ts';

/**
 * An encoder as an ONNX model whose linear layers, those that are in the plan, multiply 8-bit integers: static int8. A
 * vector does not depend on the other texts of its batch, since the ranges of activations are fixed. The token table has
 * 8 bits, with a scale for each row; everything else stays in float32. Inputs and outputs are those of `recordEncoder`.
 * Integers are multiplied by `MatMulIntegerToFloat`, an operator that only onnxruntime has.
 */
export function recordQuantizedEncoder(definition: EncoderDefinition, plan: QuantizationPlan): Uint8Array<ArrayBuffer> {
  const tables = storedOnce((recorder, name) =>
    name === definition.tokenTable
      ? integerWeight(recorder.graph, definition.weight(name), definition.weights.get(name)!)
      : undefined,
  );
  return recordLinear(definition, {
    weight: tables,
    linear(recorder, { input, weight, x, bias, recordFloat32 }) {
      const quantization = plan.inputs.get(input);
      if (quantization === undefined) return recordFloat32();
      const [outputs, inputs] = definition.weights.get(weight)! as [number, number];
      const numbers = definition.weight(weight);
      return quantizedLinear(
        recorder.graph,
        x,
        { name: weight, numbers, shape: [outputs, inputs], bits: plan.weightBits },
        bias,
        quantization,
      );
    },
  }).encode();
}

/**
 * An encoder as an ONNX model that is a smaller download, and computes in float32 as fast as the original: matrices of
 * weights are stored as 8-bit integers with a scale for each row, or in half precision, and converted to float32 when
 * the model is opened. All operators are standard, opset 17.
 */
export function recordCompactEncoder(
  definition: EncoderDefinition,
  precision: 'int8' | 'float16',
): Uint8Array<ArrayBuffer> {
  return recordLinear(definition, {
    linear: (_, { recordFloat32 }) => recordFloat32(),
    weight: storedOnce((recorder, name) => {
      const shape = definition.weights.get(name)!;
      if (shape.length < 2) return undefined;
      const store = precision === 'int8' ? integerWeight : halfWeight;
      return store(recorder.graph, definition.weight(name), shape);
    }),
  }).encode();
}

/** Looks up a weight, and remembers it: each is stored once, however often it is used. */
function storedOnce(
  make: (recorder: OnnxRecorder, name: string) => OnnxTensor | undefined,
): (recorder: OnnxRecorder, name: string) => OnnxTensor | undefined {
  const made = new Map<string, OnnxTensor | undefined>();
  return (recorder, name) => {
    if (!made.has(name)) made.set(name, make(recorder, name));
    return made.get(name);
  };
}
