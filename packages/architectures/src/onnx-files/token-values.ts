// An entry of the package with next to no imports, for worker threads, which use no other part of the package.
import type { TokenBatch } from '@sentvec/core';
import { termWeightsOutput } from '@sentvec/core/head';

/** The metadata of an input or output, as onnxruntime gives it in Node and in browsers. */
export type SessionValue =
  | {
      readonly name: string;
      readonly isTensor: true;
      readonly type: string;
      readonly shape: readonly (number | string)[];
    }
  | { readonly name: string; readonly isTensor: false };

/** A tensor's parts, as the constructor of onnxruntime's `Tensor` takes them. */
export type TokenInput = { readonly name: string; readonly dims: readonly number[] } & (
  | { readonly type: 'int64'; readonly data: BigInt64Array }
  | { readonly type: 'int32'; readonly data: Int32Array }
  | { readonly type: 'float32'; readonly data: Float32Array }
  | { readonly type: 'float16'; readonly data: Uint16Array }
  | { readonly type: 'bool'; readonly data: Uint8Array }
);

/** What an ONNX file may call its token embeddings, best first: Optimum, sentence-transformers, further exporters. */
const tokenOutputs = ['last_hidden_state', 'token_embeddings', 'hidden_states', 'output', 'output_0'];

/** What an ONNX file calls the vector of a whole text, when it computes one. */
const textOutputs: readonly string[] = ['sentence_embedding', termWeightsOutput];

/** Scores: for each token of the vocabulary, which is not an embedding, or the labels of a text or a pair. */
const scoreOutput = 'logits';

/**
 * The name of the output that has a vector for each token.
 * @param outputs `outputMetadata` of a session
 * @throws Error when there is none; the message is a sentence that follows "cannot open the file:"
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
 * The name of the output that has a vector for each text, or for pairs the scores of each pair, when there is one.
 * @param pairs whether the file belongs to a reranker
 */
export function pooledOutput(outputs: readonly SessionValue[], pairs: boolean): string | undefined {
  const names = pairs ? [scoreOutput] : textOutputs;
  return outputs.find((value) => names.includes(value.name) && value.isTensor && value.shape.length === 2)?.name;
}

/**
 * Refuses an output whose axes are not what they should be: the numbers would be read as others than they are.
 * @throws Error that names the output
 */
export function checkOutputShape(output: string, dims: readonly number[], expected: readonly number[]): void {
  if (dims.length === expected.length && dims.every((size, axis) => size === expected[axis])) return;
  throw new Error(
    `The output "${output}" has the shape [${dims.join(', ')}] where [${expected.join(', ')}] was expected.`,
  );
}

/**
 * A batch as the inputs that a session declares, and no others.
 * @param inputs `inputMetadata` of a session
 * @throws Error for an input that is not known, or of a type that is not
 */
export function tokenInputs(inputs: readonly SessionValue[], batch: TokenBatch): TokenInput[] {
  return inputs.map((value) => {
    const content = value.isTensor ? inputContent(value, batch) : undefined;
    if (value.isTensor && content !== undefined) return typed(value.name, value.type, content);
    if (value.name === 'task_id')
      throw new Error(
        'It takes the number of a task. Choose a task ("task") to run the model from its weights instead.',
      );
    throw new Error(
      `It has an input "${value.name}", which is not one of input_ids, attention_mask, token_type_ids, position_ids, past_key_values.`,
    );
  });
}

/** Numbers and their shape. */
interface InputContent {
  readonly dims: readonly number[];
  readonly numbers: Int32Array;
}

function inputContent(
  { name, shape }: { readonly name: string; readonly shape: readonly (number | string)[] },
  { ids, mask, typeIds, rows, cols }: TokenBatch,
): InputContent | undefined {
  const dims = [rows, cols];
  // A decoder that goes on with a text: there is nothing before it, so a length of 0 for every text of the batch.
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
  throw new Error(`Its input "${name}" is of type ${type}, which is not supported.`);
}
