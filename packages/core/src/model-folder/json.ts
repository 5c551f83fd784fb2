/** The one reader of JSON in a model folder, which is untrusted: broken UTF-8, deep nesting and huge files are refused. */
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';

/** Levels of arrays and objects in each other. Real files have ten; what works on JSON recursively overflows at 10,000. */
const deepestNesting = 128;

/** Bytes of the largest JSON file that is read. The tokenizers of large vocabularies take some 30 MB. */
export const largestJson: number = 2 ** 27;

/** The most arrays and objects in a file: a byte or two of a file become 50 in memory. Large tokenizers have a million. */
const mostContainers = 2 ** 22;

/**
 * The JSON file of a model, whatever it holds.
 * @param path of the file inside the model
 * @returns `undefined` when there is no such file
 * @throws SentvecError `invalid-model`, naming the file, when it is not JSON in UTF-8, too large, or nested too deeply
 */
export async function readJson(files: ModelFiles, path: string): Promise<unknown> {
  if (!(await files.list()).includes(path)) return undefined;
  const file = `${files.name}/${path}`;
  const size = (await files.size?.(path)) ?? 0;
  if (size > largestJson) throw tooLarge(file, file, size);
  return parseJson(await files.read(path), file);
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
  const unusable = (what: string, cause?: unknown): SentvecError => unusableJson(file, subject, what, cause);
  if (bytes.length > largestJson) throw tooLarge(file, subject, bytes.length);
  const excess = excessIn(bytes);
  if (excess !== undefined) throw unusable(excess);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw unusable(`is not JSON: ${(cause as Error).message}`, cause);
  }
}

function unusableJson(file: string, subject: string, what: string, cause?: unknown): SentvecError {
  return new SentvecError('invalid-model', `${subject} ${what}. Download the model again.`, { file }, { cause });
}

function tooLarge(file: string, subject: string, size: number): SentvecError {
  return unusableJson(file, subject, `has ${size} bytes; at most ${largestJson} are read`);
}

/** Whether a JSON value is an object, no array and not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/** Reads the bytes once, before anything is built from them. @returns what there is too much of */
function excessIn(bytes: Uint8Array): string | undefined {
  let depth = 0;
  let containers = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === quote) {
      for (i++; i < bytes.length && bytes[i] !== quote; i++) if (bytes[i] === backslash) i++;
    } else if (byte === openBracket || byte === openBrace) {
      if (++depth > deepestNesting) return `nests arrays and objects more than ${deepestNesting} levels deep`;
      if (++containers > mostContainers) return `holds more than ${mostContainers} arrays and objects`;
    } else if (byte === closeBracket || byte === closeBrace) depth--;
  }
  return undefined;
}
