import { SentvecError } from '@sentvec/core';
import * as v from 'valibot';
import { readLocation } from './location.ts';

/**
 * Reads a JSON file that sentvec wrote into an output folder. `undefined` if it does not exist.
 *
 * @param remedy a sentence for the error message: what to do about an invalid file
 * @throws SentvecError `invalid-output` when the file is not JSON or does not match the schema; `io-failed`
 */
export async function readJsonFile<T>(
  path: string,
  schema: v.GenericSchema<unknown, T>,
  remedy: string,
): Promise<T | undefined> {
  const bytes = await readLocation(path);
  if (bytes === undefined) return undefined;
  const text = Buffer.from(bytes).toString('utf8');
  const invalid = (problem: string, cause?: unknown): SentvecError => {
    const message = `${path} is not a valid file of sentvec: ${problem}. ${remedy}`;
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
  throw invalid(`${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`);
}

/** Schemas that several files share. */
export const jsonSchemas: {
  readonly count: v.GenericSchema<number>;
  readonly strings: v.GenericSchema<readonly string[]>;
} = {
  count: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  strings: v.array(v.string()),
};
