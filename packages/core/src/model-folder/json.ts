/**
 * Reads the JSON files of model folders. These are untrusted, so invalid UTF-8, deep nesting and huge files are
 * refused.
 */
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';

/**
 * Maximum nesting of arrays and objects. Real files have about ten levels; recursive code overflows the stack at about
 * 10,000.
 */
const maxDepth = 128;

/** Maximum size of a JSON file in bytes. Tokenizers with large vocabularies have about 30 MB. */
export const maxJsonBytes: number = 2 ** 27;

/**
 * Maximum number of arrays and objects in a file: each has one or two bytes in the file but 50 in memory. Large
 * tokenizers have a million.
 */
const maxContainers = 2 ** 22;

/**
 * Reads a JSON file of a model with any type of content.
 * @param path path of the file inside the model
 * @returns `undefined` when there is no such file
 * @throws SentvecError `invalid-model`, naming the file, when it is not JSON in UTF-8, too large, or nested too deeply
 */
export async function readJson(files: ModelFiles, path: string): Promise<unknown> {
  if (!(await files.list()).includes(path)) return undefined;
  const file = `${files.name}/${path}`;
  const size = (await files.size?.(path)) ?? 0;
  if (size > maxJsonBytes) throw tooLarge(file, file, size);
  return parseJson(await files.read(path), file);
}

/**
 * Reads a JSON file of a model that must contain an object.
 * @param path path of the file inside the model
 * @returns `undefined` when there is no such file
 * @throws SentvecError `invalid-model` as {@link readJson}, and when the file does not contain an object
 */
export async function readJsonObject(
  files: ModelFiles,
  path: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const value = await readJson(files, path);
  if (value === undefined || isObject(value)) return value;
  const file = `${files.name}/${path}`;
  throw new SentvecError('invalid-model', `${file} must contain a JSON object.`, { file });
}

/**
 * Parses a JSON text.
 * @param file name of the file that contains it, for messages
 * @param subject the subject of the message, if the text is only a part of the file
 * @throws SentvecError `invalid-model` as {@link readJson}
 */
export function parseJson(bytes: Uint8Array, file: string, subject: string = file): unknown {
  const unusable = (what: string, cause?: unknown): SentvecError => unusableJson(file, subject, what, cause);
  if (bytes.length > maxJsonBytes) throw tooLarge(file, subject, bytes.length);
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
  return unusableJson(file, subject, `has ${size} bytes; at most ${maxJsonBytes} are allowed`);
}

/** Whether a JSON value is an object: neither an array nor null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Checks the limits in the raw bytes, before anything is parsed.
 * @returns the problem, as the predicate of a sentence
 */
function excessIn(bytes: Uint8Array): string | undefined {
  let depth = 0;
  let containers = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === quote) {
      for (i++; i < bytes.length && bytes[i] !== quote; i++) if (bytes[i] === backslash) i++;
    } else if (byte === openBracket || byte === openBrace) {
      if (++depth > maxDepth) return `nests arrays and objects more than ${maxDepth} levels deep`;
      if (++containers > maxContainers) return `contains more than ${maxContainers} arrays and objects`;
    } else if (byte === closeBracket || byte === closeBrace) depth--;
  }
  return undefined;
}
