// An entry of the package without further imports, for worker threads, which use no other part of the package.
import type { TokenBatch } from '@sentvec/core';

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
  | { readonly type: 'bool'; readonly data: Uint8Array }
);

/** What an ONNX file may call its token embeddings, best first: Optimum, sentence-transformers, further exporters. */
const tokenOutputs = ['last_hidden_state', 'token_embeddings', 'hidden_states', 'output', 'output_0'];

/**
 * The name of the output that has a vector for each token.
 * @param outputs `outputMetadata` of a session
 * @throws Error when there is none; the message is a sentence that follows "cannot open the file:"
 */
export function tokenOutput(outputs: readonly SessionValue[]): string {
  const rank3 = outputs.filter((value) => value.isTensor && value.shape.length === 3).map(({ name }) => name);
  const chosen = tokenOutputs.find((name) => rank3.includes(name)) ?? rank3[0];
  if (chosen !== undefined) return chosen;
  throw new Error(`None of its outputs (${outputs.map(({ name }) => name).join(', ')}) has a vector for each token.`);
}

/**
 * A batch as the inputs that a session declares, and no others.
 * @param inputs `inputMetadata` of a session
 * @throws Error for an input that is not known, or of a type that is not
 */
export function tokenInputs(inputs: readonly SessionValue[], batch: TokenBatch): TokenInput[] {
  const dims = [batch.rows, batch.cols];
  return inputs.map((value) => {
    const { name } = value;
    const content = inputContent(name, batch);
    const type = value.isTensor ? value.type : 'unknown';
    if (type === 'int64') return { name, dims, type, data: BigInt64Array.from(content, BigInt) };
    if (type === 'int32') return { name, dims, type, data: content };
    if (type === 'float32') return { name, dims, type, data: Float32Array.from(content) };
    if (type === 'bool') return { name, dims, type, data: Uint8Array.from(content) };
    throw new Error(`Its input "${name}" is of type ${type}, which is not supported.`);
  });
}

function inputContent(name: string, { ids, mask, rows, cols }: TokenBatch): Int32Array {
  switch (name) {
    case 'input_ids':
      return ids;
    case 'attention_mask':
      return mask;
    case 'token_type_ids':
      return new Int32Array(rows * cols);
    case 'position_ids':
      return Int32Array.from({ length: rows * cols }, (_, index) => index % cols);
    default:
      throw new Error(
        `It has an input "${name}", which is not one of input_ids, attention_mask, token_type_ids, position_ids.`,
      );
  }
}
