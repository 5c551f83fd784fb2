// Records encoders as ONNX models with int8 or half-precision weights, and optionally with linear layers in 8-bit
// integers.
import type { EncoderDefinition } from '../encoders/definition.ts';
import type { OnnxTensor } from '../onnx/graph-builder.ts';
import { halfWeight, integerWeight, quantizedLinear } from '../onnx/quantized-linear.ts';
import type { OnnxRecorder } from '../onnx/recorder.ts';
import { recordLinear } from './linear-inputs.ts';
import type { QuantizationPlan } from './plan.ts';

/**
 * Records an encoder as an ONNX model with static int8 quantization: the linear layers in the plan multiply 8-bit
 * integers. Since the ranges of activations are fixed, a vector does not depend on other texts of the batch. The
 * embedding matrix has 8 bits with a scale for each row; everything else stays in float32. Inputs and outputs are those
 * of `recordEncoder`. The model uses the operator `MatMulIntegerToFloat`, which only onnxruntime has.
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
 * Records an encoder as a smaller ONNX model that computes in float32 as fast as the original. Weight matrices are
 * stored as 8-bit integers with a scale for each row, or in half precision, and are converted to float32 when the model
 * is loaded. It uses only standard operators, opset 17.
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

/** Wraps `create` so that each weight is stored only once. */
function storedOnce(
  create: (recorder: OnnxRecorder, name: string) => OnnxTensor | undefined,
): (recorder: OnnxRecorder, name: string) => OnnxTensor | undefined {
  const stored = new Map<string, OnnxTensor | undefined>();
  return (recorder, name) => {
    if (!stored.has(name)) stored.set(name, create(recorder, name));
    return stored.get(name);
  };
}
