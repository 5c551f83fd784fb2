// Records an encoder, and lets the caller record each linear layer in its own way, by the input of the layer.
import type { EncoderDefinition } from '../encoders/definition.ts';
import { constantWeights } from '../encoders/definition.ts';
import type { WeightLookup } from '../encoders/network.ts';
import type { OnnxTensor } from '../onnx/graph-builder.ts';
import { OnnxRecorder } from '../onnx/recorder.ts';
import { record } from '../record-encoder.ts';

/** A linear layer, when it is recorded. */
export interface RecordedLinear {
  /** The input; layers that have the same one are quantized in the same way. */
  readonly input: string;
  /** The name of its weight. */
  readonly weight: string;
  readonly x: OnnxTensor;
  readonly bias: OnnxTensor | undefined;
  /** Records the layer in float32. */
  recordFloat32(this: void): OnnxTensor;
}

/** How linear layers and weights are recorded. */
export interface LinearRecording {
  /**
   * Called for each linear layer that multiplies with a weight as the model stores it, in the order of computation. It
   * records the layer.
   */
  linear(recorder: OnnxRecorder, layer: RecordedLinear): OnnxTensor;
  /**
   * Another form of a weight.
   * @default float32
   */
  weight?(recorder: OnnxRecorder, name: string): OnnxTensor | undefined;
}

/**
 * Records an encoder, and leaves its linear layers to the caller. An input has the name of the weight of the first layer
 * that reads it, without `.weight`; where that weight is used again for another input, a number follows.
 */
export function recordLinear(definition: EncoderDefinition, recording: LinearRecording): OnnxRecorder {
  const recorder = new OnnxRecorder();
  const { operations } = recorder;
  const float32Weights = constantWeights(operations, definition);
  const weightNames = new Map<OnnxTensor, string>();
  const weights: WeightLookup<OnnxTensor> = (name) => {
    const weight = recording.weight?.(recorder, name) ?? float32Weights(name);
    weightNames.set(weight, name);
    return weight;
  };
  const inputs = new Map<string, string>();
  const used = new Map<string, number>();
  const inputOf = (x: OnnxTensor, weight: string): string => {
    const known = inputs.get(x.name);
    if (known !== undefined) return known;
    const times = (used.get(weight) ?? 0) + 1;
    used.set(weight, times);
    const name = weight.replace(/\.weight$/u, '') + (times === 1 ? '' : ` (${times})`);
    inputs.set(x.name, name);
    return name;
  };
  return record(definition, {}, recorder, weights, {
    ...operations,
    linear(x, weight, bias) {
      const recordFloat32 = (): OnnxTensor => operations.linear(x, weight, bias);
      const name = weightNames.get(weight);
      if (name === undefined) return recordFloat32();
      return recording.linear(recorder, { input: inputOf(x, name), weight: name, x, bias, recordFloat32 });
    },
  });
}
