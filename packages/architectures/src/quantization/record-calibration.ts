// Graphs that measure the inputs of linear layers, and the error of each candidate for their quantization.
import { productOf } from '../dimensions.ts';
import type { EncoderDefinition } from '../encoders/definition.ts';
import type { SplitModel } from '../onnx/model.ts';
import type { OnnxTensor } from '../onnx/graph-builder.ts';
import { quantizedLinear } from '../onnx/quantized-linear.ts';
import type { OnnxRecorder } from '../onnx/recorder.ts';
import type { WeightBits } from './integers.ts';
import { recordLinear, type RecordedLinear } from './linear-inputs.ts';
import type { Remedy } from './plan.ts';

/** The input of one or more linear layers of an encoder. */
export interface LinearInput {
  /** The name of the first layer that reads it, such as `encoder.layer.0.attention.self.query`. */
  readonly name: string;
  /** The weights of all layers that read it. */
  readonly weights: readonly string[];
  /** The number of channels. */
  readonly width: number;
  /** The largest absolute weight of each channel over all layers with this input. */
  readonly weightExtents: Float32Array;
}

/** A graph to run with calibration texts. Its inputs are those of the encoder. */
export interface CalibrationGraph {
  readonly model: SplitModel;
  readonly inputs: readonly LinearInput[];
}

/**
 * Records a graph with the minimum, maximum and mean of each channel of each input: the outputs `minimum N`, `maximum
 * N` and `mean N` of shape `[width]`, where N is the index of the input in `inputs`. Padding is not masked: run it with
 * batches without padding.
 * @param location the name of the file for the weights, which must be in the folder of the model
 */
export function recordCalibration(definition: EncoderDefinition, location: string): CalibrationGraph {
  const inputs = new Map<string, { weights: string[]; width: number; weightExtents: Float32Array }>();
  const recorder = recordLinear(definition, {
    linear(current, { input, weight, x, recordFloat32 }) {
      const width = Number(x.shape.at(-1));
      const known = inputs.get(input) ?? { weights: [], width, weightExtents: new Float32Array(width) };
      if (!inputs.has(input)) recordRanges(current, inputs.size, x);
      inputs.set(input, known);
      known.weights.push(weight);
      for (const [i, value] of definition.weight(weight).entries()) {
        known.weightExtents[i % width] = Math.max(known.weightExtents[i % width]!, Math.abs(value));
      }
      return recordFloat32();
    },
  });
  return {
    model: recorder.encodeSplit(location),
    inputs: [...inputs].map(([name, input]) => ({ name, ...input })),
  };
}

function recordRanges(recorder: OnnxRecorder, index: number, x: OnnxTensor): void {
  const { operations: ops } = recorder;
  const rowAxes = x.shape.slice(0, -1).map((_, axis) => axis);
  recorder.output(`maximum ${index}`, ops.max(x, rowAxes));
  recorder.output(`minimum ${index}`, ops.multiply(ops.max(ops.multiply(x, -1), rowAxes), -1));
  recorder.output(`mean ${index}`, ops.divide(ops.sum(x, rowAxes), ops.size(productOf(x.shape.slice(0, -1)))));
}

/**
 * Records a graph that computes an encoder in float32 and, for each linear layer, its outputs with each candidate for
 * its input. The output `errors N` (shape `[candidates]`) is the sum over all layers with the input of the squared
 * error, divided by the squared norm of the layer's output.
 * @param candidates the candidates by the name of an input
 * @param location the name of the file for the weights, which must be in the folder of the model
 * @returns the graph, and the inputs in the order of their outputs
 */
export function recordTrials(
  definition: EncoderDefinition,
  candidates: ReadonlyMap<string, readonly Remedy[]>,
  bits: WeightBits,
  location: string,
): { readonly model: SplitModel; readonly inputs: readonly string[] } {
  const errors = new Map<string, OnnxTensor[][]>();
  const recorder = recordLinear(definition, {
    linear(current, layer) {
      const expected = layer.recordFloat32();
      const remedies = candidates.get(layer.input) ?? [];
      const found = remedies.map((remedy) => relativeError(current, definition, { layer, expected, remedy, bits }));
      errors.set(layer.input, [...(errors.get(layer.input) ?? []), found]);
      return expected;
    },
  });
  const inputs = [...errors.keys()];
  for (const [index, input] of inputs.entries()) {
    const { operations: ops } = recorder;
    const layerErrors = errors.get(input)!.map((each) => ops.concat(each, 0));
    recorder.output(
      `errors ${index}`,
      layerErrors.reduce((sum, each) => ops.add(sum, each)),
    );
  }
  return { model: recorder.encodeSplit(location), inputs };
}

/** The squared error of a layer's output with a candidate, divided by the squared norm of the output: `[1]`. */
function relativeError(
  recorder: OnnxRecorder,
  definition: EncoderDefinition,
  trial: {
    readonly layer: RecordedLinear;
    readonly expected: OnnxTensor;
    readonly remedy: Remedy;
    readonly bits: WeightBits;
  },
): OnnxTensor {
  const { layer, expected, remedy, bits } = trial;
  const { operations: ops } = recorder;
  const [outputs, inputs] = definition.weights.get(layer.weight)! as [number, number];
  const numbers = definition.weight(layer.weight);
  const weight = { name: layer.weight, numbers, shape: [outputs, inputs] as const, bits };
  const found = quantizedLinear(recorder.graph, layer.x, weight, layer.bias, remedy.quantization);
  const difference = ops.subtract(found, expected);
  const axes = expected.shape.map((_, axis) => axis);
  const squares = (x: OnnxTensor): OnnxTensor => ops.sum(ops.multiply(x, x), axes);
  return ops.reshape(ops.divide(squares(difference), ops.maximum(squares(expected), 1e-30)), [1]);
}
