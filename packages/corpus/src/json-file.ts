import { readFile } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { ioError, isSystemError } from '@sentvec/platform/node';
import * as v from 'valibot';

/**
 * Reads a JSON file that sentvec wrote into an output folder. `undefined` when it is not there.
 *
 * @param remedy what to do about a file that sentvec did not write like this: a sentence
 * @throws SentvecError `invalid-output` that names the file when it is not JSON or does not fit the schema, `io-failed`
 */
export async function readJsonFile<T>(
  path: string,
  schema: v.GenericSchema<unknown, T>,
  remedy: string,
): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return undefined;
    throw ioError(error, 'Reading', path);
  }
  const invalid = (problem: string, cause?: unknown): SentvecError => {
    const message = `${path} is not as sentvec writes it: ${problem}. ${remedy}`;
    return new SentvecError('invalid-output', message, { file: path }, { cause });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid('it is not JSON', cause);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw invalid(`${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`);
}

/** Schemas that several files have in common. */
export const jsonSchemas: {
  readonly count: v.GenericSchema<number>;
  readonly strings: v.GenericSchema<readonly string[]>;
} = {
  count: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  strings: v.array(v.string()),
};
