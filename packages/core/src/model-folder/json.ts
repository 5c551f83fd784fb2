/** The one reader of JSON in a model folder, which is untrusted: broken UTF-8, deep nesting and huge files are refused. */
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';

/** Levels of arrays and objects in each other. Real files have ten; what works on JSON recursively overflows at 10,000. */
const deepestNesting = 128;

/** Bytes of the largest file. The tokenizers of large vocabularies take some 30 MB. */
const largestFile = 2 ** 28;

/**
 * The JSON file of a model, whatever it holds.
 * @param path of the file inside the model
 * @returns `undefined` when there is no such file
 * @throws SentvecError `invalid-model`, naming the file, when it is not JSON in UTF-8, too large, or nested too deeply
 */
export async function readJson(files: ModelFiles, path: string): Promise<unknown> {
  if (!(await files.list()).includes(path)) return undefined;
  return parseJson(await files.read(path), `${files.name}/${path}`);
}

/**
 * The JSON object of a model.
 * @param path of the file inside the model
 * @returns `undefined` when there is no such file
 * @throws SentvecError `invalid-model` as {@link readJson}, and when the file holds something else than an object
 */
export async function readJsonObject(
  files: ModelFiles,
  path: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const value = await readJson(files, path);
  if (value === undefined || isObject(value)) return value;
  const file = `${files.name}/${path}`;
  throw new SentvecError('invalid-model', `${file} must hold a JSON object.`, { file });
}

/**
 * The value of a JSON text.
 * @param file how a person would name the file that holds it
 * @param subject how the message names the text, when it is a part of the file
 * @throws SentvecError `invalid-model` as {@link readJson}
 */
export function parseJson(bytes: Uint8Array, file: string, subject: string = file): unknown {
  const unusable = (what: string, cause?: unknown): SentvecError =>
    new SentvecError('invalid-model', `${subject} ${what}. Download the model again.`, { file }, { cause });
  if (bytes.length > largestFile) throw unusable(`has ${bytes.length} bytes; at most ${largestFile} are read`);
  if (isNestedTooDeeply(bytes)) throw unusable(`nests arrays and objects more than ${deepestNesting} levels deep`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw unusable(`is not JSON: ${(cause as Error).message}`, cause);
  }
}

/** Whether a JSON value is an object, no array and not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/** Reads the bytes once, before anything is built from them. */
function isNestedTooDeeply(bytes: Uint8Array): boolean {
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === quote) {
      for (i++; i < bytes.length && bytes[i] !== quote; i++) if (bytes[i] === backslash) i++;
    } else if (byte === openBracket || byte === openBrace) {
      if (++depth > deepestNesting) return true;
    } else if (byte === closeBracket || byte === closeBrace) depth--;
  }
  return false;
}
