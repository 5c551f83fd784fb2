import { constantWeights, type EncoderDefinition } from './encoders/definition.ts';
import type { SplitModel } from './onnx/model.ts';
import { OnnxRecorder } from './onnx/recorder.ts';

/**
 * An encoder as an ONNX model of standard operators, opset 17, its weights inside. Inputs `input_ids` and
 * `attention_mask` (int64, `[batch, length]`), output `last_hidden_state` (float32, `[batch, length, hidden]`); batch
 * and length are open.
 */
export function recordEncoder(definition: EncoderDefinition): Uint8Array<ArrayBuffer> {
  return record(definition).encode();
}

/**
 * The same with the weights in a file of their own, called `location`, which belongs next to the model. It opens
 * several times as fast, sessions share the weights that they do not rearrange, and these may have more than 2 GiB.
 */
export function recordSplitEncoder(definition: EncoderDefinition, location: string): SplitModel {
  return record(definition).encodeSplit(location);
}

function record(definition: EncoderDefinition): OnnxRecorder {
  const recorder = new OnnxRecorder();
  const ids = recorder.input('input_ids', 'index', ['batch', 'length']);
  const mask = recorder.input('attention_mask', 'index', ['batch', 'length']);
  const weights = constantWeights(recorder.operations, definition);
  recorder.output('last_hidden_state', definition.network.encode(recorder.operations, weights, { ids, mask }));
  return recorder;
}
