// Records encoders as ONNX models for inference. The weights are in the ONNX file, in one external data file, or in the
// safetensors of the model.
import { termWeightsOutput } from '@sentvec/core';
import { constantWeights, type EncoderDefinition } from './encoders/definition.ts';
import type { WeightLookup } from './encoders/network.ts';
import type { Operations } from './operations.ts';
import type { OnnxTensor } from './onnx/graph-builder.ts';
import type { ExternalNumbers, SplitModel } from './onnx/model.ts';
import { OnnxRecorder, type RecorderOptions } from './onnx/recorder.ts';

/** Options for recording an encoder. */
export interface RecordOptions extends RecorderOptions {
  /**
   * Whether the model is used with pairs of texts. If so, a network with token types also has the input
   * `token_type_ids`.
   * @default false
   */
  readonly pairs?: boolean | undefined;
}

/**
 * Records an encoder as an ONNX model with its weights, in standard operators of opset 17. The inputs are `input_ids`
 * and `attention_mask` (int64, `[batch, length]`), the output is `last_hidden_state` (float32, `[batch, length,
 * hidden]`); batch and length are dynamic. A sparse model also has the output `term_weights` (float32, `[batch,
 * vocabulary]`).
 */
export function recordEncoder(definition: EncoderDefinition, options?: RecordOptions): Uint8Array<ArrayBuffer> {
  return record(definition, options).encode();
}

/**
 * Like {@link recordEncoder}, with the weights in a separate file, which must be stored as `location` in the folder of
 * the model. Such a model loads several times as fast, sessions share weights whose layout they do not change, and the
 * weights may exceed 2 GiB.
 */
export function recordSplitEncoder(
  definition: EncoderDefinition,
  location: string,
  options?: RecordOptions,
): SplitModel {
  return record(definition, options).encodeSplit(location);
}

/**
 * Like {@link recordSplitEncoder}, but the large weights stay in the safetensors files of the model, whose paths are
 * relative to the folder of the ONNX model. Half-precision weights are converted to float32 in each run, and the copy
 * is freed afterwards.
 * @param location the name of the file for numbers that are not in the files of the model
 * @param options.smallest the minimum size in bytes of a weight that stays in its file (default: 64 KiB)
 */
export function recordLinkedEncoder(
  definition: EncoderDefinition,
  location: string,
  { smallest = minLinkedBytes, ...options }: RecordOptions & { readonly smallest?: number | undefined } = {},
): SplitModel {
  const recorder = new OnnxRecorder(options);
  const others = constantWeights(recorder.operations, definition);
  const made = new Map<string, OnnxTensor>();
  return record(definition, options, recorder, (name) => {
    const known = made.get(name) ?? linkedWeight(recorder, definition, name, smallest) ?? others(name);
    made.set(name, known);
    return known;
  }).encodeSplit(location);
}

/**
 * Weights of fewer bytes are in the ONNX model, where onnxruntime can use them in its optimizations (constant folding).
 */
const minLinkedBytes = 2 ** 16;

const linkedTypes: ReadonlyMap<string, ExternalNumbers['type']> = new Map([
  ['F32', 'float'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
]);

function linkedWeight(
  recorder: OnnxRecorder,
  definition: EncoderDefinition,
  name: string,
  smallest: number,
): OnnxTensor | undefined {
  const location = definition.location(name);
  const type = location && linkedTypes.get(location.type);
  if (type === undefined || location!.end - location!.begin < smallest) return undefined;
  const { path, begin, end } = location!;
  return recorder.weight({ type, location: path, offset: begin, length: end - begin }, definition.weights.get(name)!);
}

/** Records an encoder. The caller may replace the weights and the operations. */
export function record(
  definition: EncoderDefinition,
  options: RecordOptions = {},
  recorder: OnnxRecorder = new OnnxRecorder(options),
  weights: WeightLookup<OnnxTensor> = constantWeights(recorder.operations, definition),
  operations: Operations<OnnxTensor> = recorder.operations,
): OnnxRecorder {
  const ids = recorder.input('input_ids', 'index', ['batch', 'length']);
  const mask = recorder.input('attention_mask', 'index', ['batch', 'length']);
  const { network } = definition;
  const usesTokenTypes = options.pairs === true && network.tokenTypes > 1;
  const types = usesTokenTypes ? recorder.input('token_type_ids', 'index', ['batch', 'length']) : undefined;
  const tokens = network.encode(operations, weights, { ids, mask, types });
  recorder.output('last_hidden_state', tokens);
  const terms = network.termWeights?.(operations, weights, { tokens, mask });
  if (terms !== undefined) recorder.output(termWeightsOutput, terms);
  return recorder;
}
