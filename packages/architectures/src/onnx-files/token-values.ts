// The entry point `@sentvec/architectures/token-values`: converts batches to the inputs of an ONNX session and selects
// its outputs. It has almost no imports, because worker threads load it.
import type { TokenBatch } from '@sentvec/core';
import { termWeightsOutput } from '@sentvec/core/head';

/** The metadata of an input or output in onnxruntime-node and onnxruntime-web. */
export type SessionValue =
  | {
      readonly name: string;
      readonly isTensor: true;
      readonly type: string;
      readonly shape: readonly (number | string)[];
    }
  | { readonly name: string; readonly isTensor: false };

/** The arguments of onnxruntime's `Tensor` constructor for an input. */
export type TokenInput = { readonly name: string; readonly dims: readonly number[] } & (
  | { readonly type: 'int64'; readonly data: BigInt64Array }
  | { readonly type: 'int32'; readonly data: Int32Array }
  | { readonly type: 'float32'; readonly data: Float32Array }
  | { readonly type: 'float16'; readonly data: Uint16Array }
  | { readonly type: 'bool'; readonly data: Uint8Array }
);

/**
 * The names of the token embeddings in ONNX files of Optimum, sentence-transformers and other exporters, in order of
 * preference.
 */
const tokenOutputs = ['last_hidden_state', 'token_embeddings', 'hidden_states', 'output', 'output_0'];

/** The names of outputs with one vector for each text. */
const textOutputs: readonly string[] = ['sentence_embedding', termWeightsOutput];

/** The name of an output of scores: of the vocabulary at each token, or of the labels of a text or a pair. */
const scoreOutput = 'logits';

/**
 * The name of the output with a vector for each token.
 * @param outputs `outputMetadata` of a session
 * @throws Error if there is none. The message is a sentence that can follow "cannot open the file:"
 */
export function tokenOutput(outputs: readonly SessionValue[]): string {
  const rank3 = outputs
    .filter((value) => value.isTensor && value.shape.length === 3 && value.name !== scoreOutput)
    .map(({ name }) => name);
  const chosen = tokenOutputs.find((name) => rank3.includes(name)) ?? rank3[0];
  if (chosen !== undefined) return chosen;
  throw new Error(`None of its outputs (${outputs.map(({ name }) => name).join(', ')}) has a vector for each token.`);
}

/**
 * The name of the output with a vector for each text or, for a reranker, with the scores of each pair; `undefined` if
 * there is none.
 * @param pairs whether the model is a reranker
 */
export function pooledOutput(outputs: readonly SessionValue[], pairs: boolean): string | undefined {
  const names = pairs ? [scoreOutput] : textOutputs;
  return outputs.find((value) => names.includes(value.name) && value.isTensor && value.shape.length === 2)?.name;
}

/**
 * Checks the shape of an output, because with another shape the numbers would be misinterpreted.
 * @throws Error that names the output and both shapes
 */
export function checkOutputShape(output: string, dims: readonly number[], expected: readonly number[]): void {
  if (dims.length === expected.length && dims.every((size, axis) => size === expected[axis])) return;
  throw new Error(
    `The output "${output}" has the shape [${dims.join(', ')}], but [${expected.join(', ')}] was expected.`,
  );
}

/**
 * Converts a batch to the inputs that a session declares.
 * @param inputs `inputMetadata` of a session
 * @throws Error for an input with an unknown name or an unsupported type
 */
export function tokenInputs(inputs: readonly SessionValue[], batch: TokenBatch): TokenInput[] {
  return inputs.map((value) => {
    const content = value.isTensor ? inputContent(value, batch) : undefined;
    if (value.isTensor && content !== undefined) return typed(value.name, value.type, content);
    if (value.name === 'task_id')
      throw new Error(
        'It needs a task id as input. Set the option "task" to run the model from its safetensors weights instead.',
      );
    throw new Error(
      `It has an input "${value.name}", which is not supported. Supported inputs: input_ids, attention_mask, token_type_ids, position_ids, past_key_values, use_cache_branch.`,
    );
  });
}

/** The numbers and the shape of an input. */
interface InputContent {
  readonly dims: readonly number[];
  readonly numbers: Int32Array;
}

function inputContent(
  { name, shape }: { readonly name: string; readonly shape: readonly (number | string)[] },
  { ids, mask, typeIds, rows, cols }: TokenBatch,
): InputContent | undefined {
  const dims = [rows, cols];
  // The key-value cache of a decoder. It is empty, so the axis of the cached length is 0.
  if (name.startsWith('past_key_values.')) {
    const past = shape.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? rows : 0));
    return { dims: past, numbers: new Int32Array(past.reduce((product, size) => product * size, 1)) };
  }
  switch (name) {
    case 'input_ids':
      return { dims, numbers: ids };
    case 'attention_mask':
      return { dims, numbers: mask };
    case 'token_type_ids':
      return { dims, numbers: typeIds ?? new Int32Array(rows * cols) };
    case 'position_ids':
      return { dims, numbers: Int32Array.from({ length: rows * cols }, (_, index) => index % cols) };
    case 'use_cache_branch':
      return { dims: [1], numbers: Int32Array.of(0) };
    default:
      return undefined;
  }
}

function typed(name: string, type: string, { dims, numbers }: InputContent): TokenInput {
  if (type === 'int64') return { name, dims, type, data: BigInt64Array.from(numbers, BigInt) };
  if (type === 'int32') return { name, dims, type, data: numbers };
  if (type === 'float32') return { name, dims, type, data: Float32Array.from(numbers) };
  if (type === 'bool') return { name, dims, type, data: Uint8Array.from(numbers) };
  if (type === 'float16' && numbers.every((number) => number === 0))
    return { name, dims, type, data: new Uint16Array(numbers.length) };
  throw new Error(
    `Its input "${name}" has the type ${type}, which is not supported. Convert the model with a supported type: int64, int32, float32 or bool.`,
  );
}
