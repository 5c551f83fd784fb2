import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { SessionSpecification } from './messages.ts';
import { sessionOptions } from './session-options.ts';

/** Token ids, padded to one length. */
interface Batch {
  readonly ids: Int32Array;
  readonly mask: Int32Array;
  readonly rows: number;
  readonly cols: number;
}

/** A session of onnxruntime that gives token embeddings, whatever its inputs and outputs are called. */
export interface TokenSession {
  readonly hiddenSize: number;
  /** Token embeddings, row-major, rows × cols × hiddenSize. */
  encode(batch: Batch): Promise<Float32Array>;
  release(): Promise<void>;
}

/** What an ONNX file may call its token embeddings, best first: Optimum, sentence-transformers, further exporters. */
const tokenOutputs = ['last_hidden_state', 'token_embeddings', 'hidden_states', 'output', 'output_0'];

type OnnxRuntime = typeof import('onnxruntime-node');

/** Opens the model and tries it with one token. @throws Error that says what does not fit */
export async function openSession(specification: SessionSpecification): Promise<TokenSession> {
  const runtime = await import('onnxruntime-node');
  const { model, externalData } = specification;
  const options = sessionOptions(specification);
  const session =
    typeof model === 'string'
      ? await runtime.InferenceSession.create(model, options)
      : await runtime.InferenceSession.create(ownCopy(model), {
          ...options,
          ...(externalData.length > 0 && { externalData: externalData.map(({ path, data }) => ({ path, data: ownCopy(data) })) }),
        });
  const output = tokenOutput(session);
  const probe = await session.run(feeds(runtime, session, singleToken), [output]);
  const { dims, type } = probe[output]!;
  if (type !== 'float32' || dims.length !== 3) {
    throw new Error(`Its output "${output}" is ${type} [${dims.join(', ')}], not float32 [texts, tokens, width].`);
  }
  return {
    hiddenSize: dims[2]!,
    encode: async (batch) => {
      const { [output]: embeddings } = await session.run(feeds(runtime, session, batch), [output]);
      return embeddings!.data as Float32Array;
    },
    release: () => session.release(),
  };
}

const singleToken: Batch = { ids: Int32Array.of(0), mask: Int32Array.of(1), rows: 1, cols: 1 };

/** onnxruntime takes no shared memory. */
function ownCopy(shared: SharedArrayBuffer): Uint8Array {
  return new Uint8Array(shared).slice();
}

function tokenOutput({ outputNames, outputMetadata }: InferenceSession): string {
  const rank3 = outputMetadata.filter((value) => value.isTensor && value.shape.length === 3).map((value) => value.name);
  const chosen = tokenOutputs.find((name) => rank3.includes(name)) ?? rank3[0];
  if (chosen !== undefined) return chosen;
  throw new Error(`None of its outputs (${outputNames.join(', ')}) has a vector for each token.`);
}

/** Only what the session declares. @throws Error for an input that is not known */
function feeds({ Tensor }: OnnxRuntime, session: InferenceSession, batch: Batch): Record<string, Tensor> {
  const result: Record<string, Tensor> = {};
  for (const value of session.inputMetadata) {
    const content = inputContent(value.name, batch);
    const type = value.isTensor ? value.type : 'unknown';
    const shape = [batch.rows, batch.cols];
    if (type === 'int64') result[value.name] = new Tensor('int64', toInt64(content), shape);
    else if (type === 'int32') result[value.name] = new Tensor('int32', content, shape);
    else if (type === 'float32') result[value.name] = new Tensor('float32', Float32Array.from(content), shape);
    else if (type === 'bool') result[value.name] = new Tensor('bool', Uint8Array.from(content), shape);
    else throw new Error(`Its input "${value.name}" is of type ${type}, which is not supported.`);
  }
  return result;
}

function inputContent(name: string, { ids, mask, rows, cols }: Batch): Int32Array {
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
      throw new Error(`It wants an input "${name}", which is not one of input_ids, attention_mask, token_type_ids, position_ids.`);
  }
}

function toInt64(numbers: Int32Array): BigInt64Array {
  return BigInt64Array.from(numbers, BigInt);
}
