// Reads and writes the file self-check.json, which contains a model's expected token embeddings of a short text.
import { SentvecError } from '../errors.ts';
import { readJsonObject } from '../model-folder/json.ts';
import type { ModelFiles, TokenEmbeddings } from '../types.ts';

/** Token ids of a short text, and the token embeddings that the model computes for it: a row for each id. */
export interface SelfCheckValues {
  readonly ids: readonly number[];
  readonly embeddings: TokenEmbeddings;
}

/** Name of the self-check file in a model folder; it is in the same folder as the weights of the encoder. */
export const selfCheckFile = 'self-check.json';

/**
 * Path of the self-check for a weights file. For a variant such as `onnx/model_int8.onnx` it is
 * `onnx/model_int8.self-check.json`, which contains the values of that variant, not those of the float32 model.
 * @param weightsFile see `Encoder.weightsFile`
 */
export function selfCheckFileOf(weightsFile: string | undefined): string {
  return weightsFile === undefined ? selfCheckFile : weightsFile.replace(/(?:\.onnx)?$/u, `.${selfCheckFile}`);
}

/** Maximum number of ids in a file. */
const maxIds = 64;

/** The content of `self-check.json`: JSON with the ids, and with the embeddings as little-endian float32 in base64. */
export function encodeSelfCheck({ ids, embeddings }: SelfCheckValues): string {
  const bytes = new DataView(new ArrayBuffer(embeddings.data.length * 4));
  for (const [index, value] of embeddings.data.entries()) bytes.setFloat32(index * 4, value, true);
  const text = Array.from(new Uint8Array(bytes.buffer), (byte) => String.fromCharCode(byte)).join('');
  return `${JSON.stringify({ version: 1, ids, hidden_size: embeddings.cols, token_embeddings: btoa(text) }, undefined, 2)}\n`;
}

/**
 * Reads the self-check of a model folder; `undefined` when it has none.
 * @param file see {@link selfCheckFileOf}
 * @throws SentvecError `invalid-model` when the file is damaged
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
    value.length <= maxIds &&
    value.every((id) => Number.isInteger(id) && id >= 0)
  );
}

function refuse(file: string): never {
  throw new SentvecError(
    'invalid-model',
    `${file} is not a valid self-check. Delete it, or download the model again.`,
    {
      file,
    },
  );
}
