// Records an encoder whose linear layers are recorded by the caller.
import type { EncoderDefinition } from '../encoders/definition.ts';
import { constantWeights } from '../encoders/definition.ts';
import type { WeightLookup } from '../encoders/network.ts';
import type { OnnxTensor } from '../onnx/graph-builder.ts';
import { OnnxRecorder } from '../onnx/recorder.ts';
import { record } from '../record-encoder.ts';

/** A linear layer that is to be recorded. */
export interface RecordedLinear {
  /** The name of the input. Layers with the same input are quantized in the same way. */
  readonly input: string;
  /** The name of the weight. */
  readonly weight: string;
  readonly x: OnnxTensor;
  readonly bias: OnnxTensor | undefined;
  /** Records the layer in float32. */
  recordFloat32(this: void): OnnxTensor;
}

/** Functions that record linear layers and weights. */
export interface LinearRecording {
  /**
   * Records a linear layer. It is called in the order of computation, for each linear layer whose weight is stored in
   * the model (and not computed).
   */
  linear(recorder: OnnxRecorder, layer: RecordedLinear): OnnxTensor;
  /** Records a weight, or returns `undefined` to record it in float32. */
  weight?(recorder: OnnxRecorder, name: string): OnnxTensor | undefined;
}

/**
 * Records an encoder; `recording` records its linear layers. The name of an input is the weight name of the first layer
 * that reads it, without `.weight`. If that weight is used again for another input, a number is appended.
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
