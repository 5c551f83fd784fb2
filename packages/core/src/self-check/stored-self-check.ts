// The file self-check.json: how the values are encoded, and how they are read from a folder that may be damaged.
import { SentvecError } from '../errors.ts';
import { readJsonObject } from '../model-folder/json.ts';
import type { ModelFiles, TokenEmbeddings } from '../types.ts';

/** Ids of a short text, and the embeddings of its tokens by the model itself: a row for each id. */
export interface SelfCheckValues {
  readonly ids: readonly number[];
  readonly embeddings: TokenEmbeddings;
}

/** Where a model folder keeps its self-check: beside the weights of the encoder. */
export const selfCheckFile = 'self-check.json';

/**
 * Where a model folder keeps the self-check of a file of weights that is not the standard one, `onnx/model_int8.onnx`
 * say: beside it, as `onnx/model_int8.self-check.json`. It holds what that file gives, not what the model gives in
 * float32.
 * @param weightsFile see `Encoder.weightsFile`
 */
export function selfCheckFileOf(weightsFile: string | undefined): string {
  return weightsFile === undefined ? selfCheckFile : weightsFile.replace(/(?:\.onnx)?$/u, `.${selfCheckFile}`);
}

/** The most ids that are read from a file. */
const mostIds = 64;

/** The content of `self-check.json`: the ids, and the embeddings as little-endian float32 in base64. */
export function encodeSelfCheck({ ids, embeddings }: SelfCheckValues): string {
  const bytes = new DataView(new ArrayBuffer(embeddings.data.length * 4));
  for (const [index, value] of embeddings.data.entries()) bytes.setFloat32(index * 4, value, true);
  const text = Array.from(new Uint8Array(bytes.buffer), (byte) => String.fromCharCode(byte)).join('');
  return `${JSON.stringify({ version: 1, ids, hidden_size: embeddings.cols, token_embeddings: btoa(text) }, undefined, 2)}\n`;
}

/**
 * The self-check that a model folder holds, `undefined` when it holds none.
 * @param file see {@link selfCheckFileOf}
 * @throws SentvecError `invalid-model` for a broken one
 */
export async function readStoredSelfCheck(
  files: ModelFiles,
  file: string = selfCheckFile,
): Promise<SelfCheckValues | undefined> {
  const stored = await readJsonObject(files, file);
  return stored && (decode(stored) ?? refuse(`${files.name}/${file}`));
}

function decode(stored: Readonly<Record<string, unknown>>): SelfCheckValues | undefined {
  try {
    const { version, ids, hidden_size: cols, token_embeddings: encoded } = stored;
    if (version !== 1 || !isIds(ids) || typeof cols !== 'number' || typeof encoded !== 'string') return undefined;
    const bytes = atob(encoded);
    if (bytes.length !== ids.length * cols * 4) return undefined;
    const view = new DataView(new ArrayBuffer(bytes.length));
    for (let index = 0; index < bytes.length; index += 1) view.setUint8(index, bytes.charCodeAt(index));
    const data = new Float32Array(ids.length * cols);
    for (let index = 0; index < data.length; index += 1) data[index] = view.getFloat32(index * 4, true);
    return { ids, embeddings: { data, rows: ids.length, cols } };
  } catch {
    return undefined;
  }
}

function isIds(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= mostIds &&
    value.every((id) => Number.isInteger(id) && id >= 0)
  );
}

function refuse(file: string): never {
  throw new SentvecError(
    'invalid-model',
    `${file} is not a self-check of sentvec. Delete it, or download the model again.`,
    {
      file,
    },
  );
}
