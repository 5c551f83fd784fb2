import { OnnxRecorder } from '@sentvec/architectures';

/** Width of the vectors that {@link onnxModel} gives. */
export const width = 4;

/** What an ONNX file for a test is like. */
export interface OnnxModelOptions {
  /**
   * Inputs besides `input_ids`. Each is added to the embedding: number × 100 ^ its position, so that a test sees what it
   * was fed.
   */
  readonly inputs?: readonly string[] | undefined;
  readonly output?: string | undefined;
  /** Output a vector for each text as well, before the one for each token. */
  readonly sentenceOutput?: boolean | undefined;
  /** Ids from 0 to below this are known. */
  readonly vocabulary?: number | undefined;
}

/** An ONNX file whose embedding of token t is `[t, t, t, t]` plus what the other inputs hold. */
export function onnxModel({
  inputs = [],
  output = 'last_hidden_state',
  sentenceOutput = false,
  vocabulary = 50,
}: OnnxModelOptions = {}): Uint8Array {
  const recorder = new OnnxRecorder();
  const { operations: ops } = recorder;
  const shape = ['batch', 'length'];
  const table = ops.constant(
    Float32Array.from({ length: vocabulary * width }, (_, index) => Math.floor(index / width)),
    [vocabulary, width],
  );
  let embeddings = ops.gather(table, recorder.input('input_ids', 'index', shape));
  for (const [index, name] of inputs.entries()) {
    const numbers = ops.reshape(ops.toFloat(recorder.input(name, 'index', shape)), [...shape, 1]);
    embeddings = ops.add(embeddings, ops.multiply(numbers, 100 ** (index + 1)));
  }
  if (sentenceOutput) recorder.output('sentence_embedding', ops.max(embeddings, [1]));
  recorder.output(output, embeddings);
  return recorder.encode();
}
