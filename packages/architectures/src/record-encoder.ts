// Encoders as ONNX models for inference, with the weights inside, in one file beside it, or left in the model's own
// files.
import { termWeightsOutput } from '@sentvec/core';
import { constantWeights, type EncoderDefinition } from './encoders/definition.ts';
import type { WeightLookup } from './encoders/network.ts';
import type { Operations } from './operations.ts';
import type { OnnxTensor } from './onnx/graph-builder.ts';
import type { ExternalNumbers, SplitModel } from './onnx/model.ts';
import { OnnxRecorder, type RecorderOptions } from './onnx/recorder.ts';

/** What an encoder is recorded for. */
export interface RecordOptions extends RecorderOptions {
  /**
   * Whether it reads pairs of texts: a network with token types then has the input `token_type_ids` as well.
   * @default false
   */
  readonly pairs?: boolean | undefined;
}

/**
 * An encoder as an ONNX model of standard operators, opset 17, its weights inside. Inputs `input_ids` and
 * `attention_mask` (int64, `[batch, length]`), output `last_hidden_state` (float32, `[batch, length, hidden]`); batch
 * and length are open. Of a sparse model also `term_weights` (float32, `[batch, vocabulary]`).
 */
export function recordEncoder(definition: EncoderDefinition, options?: RecordOptions): Uint8Array<ArrayBuffer> {
  return record(definition, options).encode();
}

/**
 * The same with the weights in a file of their own, called `location`, which belongs next to the model. It opens
 * several times as fast, sessions share the weights that they do not rearrange, and these may have more than 2 GiB.
 */
export function recordSplitEncoder(
  definition: EncoderDefinition,
  location: string,
  options?: RecordOptions,
): SplitModel {
  return record(definition, options).encodeSplit(location);
}

/**
 * The same with the large weights where they are: in the model's own files, which belong next to the ONNX model under
 * their own paths. Weights in half precision stay so; each is widened when it is needed, and the wide copy is freed.
 * @param location of the file for numbers that are in none of the model's files
 * @param options.smallest bytes of a weight from which on it stays where it is; default 64 KiB
 */
export function recordLinkedEncoder(
  definition: EncoderDefinition,
  location: string,
  { smallest = smallestLinked, ...options }: RecordOptions & { readonly smallest?: number | undefined } = {},
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

/** Weights of fewer bytes are in the ONNX model, where onnxruntime can compute with them while it optimizes. */
const smallestLinked = 2 ** 16;

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

/** Records an encoder; a caller may replace its weights, or the operations that it is recorded with. */
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
  const typed = options.pairs === true && network.tokenTypes > 1;
  const types = typed ? recorder.input('token_type_ids', 'index', ['batch', 'length']) : undefined;
  const tokens = network.encode(operations, weights, { ids, mask, types });
  recorder.output('last_hidden_state', tokens);
  const terms = network.termWeights?.(operations, weights, { tokens, mask });
  if (terms !== undefined) recorder.output(termWeightsOutput, terms);
  return recorder;
}
