/** The values that pass between steps: checked by a schema, and small when written as JSON. */
import { SentvecError } from '@sentvec/core';
import type { StandardSchemaV1 } from '@standard-schema/spec';

/** The most bytes of JSON that a step may take or give: values are references to data, never the data. */
export const maxValueBytes: number = 16 * 1024;

/** The most bytes of JSON of a run's input. It is stored once, and may name many files. */
export const maxInputBytes: number = 1024 * 1024;

/**
 * The value after it was written and parsed as JSON, so that every runtime passes on the same: a `Date` becomes a
 * string, `undefined` becomes `null`.
 *
 * @param what names the value in messages: `The input of step "embed"`
 * @throws SentvecError `invalid-argument` for what JSON cannot hold, and for more than `maxBytes` of it
 */
export function toJsonValue(value: unknown, what: string, maxBytes: number = maxValueBytes): unknown {
  const json = stringify(value, what);
  const bytes = Buffer.byteLength(json);
  if (bytes > maxBytes) {
    const message = `${what} has ${bytes} bytes of JSON; at most ${maxBytes} are allowed. Write the data to a file and give a reference to it.`;
    throw new SentvecError('invalid-argument', message, { bytes, maxBytes });
  }
  return JSON.parse(json);
}

function stringify(value: unknown, what: string): string {
  try {
    return JSON.stringify(value) ?? 'null';
  } catch (cause) {
    throw new SentvecError('invalid-argument', `${what} cannot be written as JSON: ${String(cause)}.`, {}, { cause });
  }
}

/**
 * Checks a value with any Standard Schema library (valibot, zod, arktype …).
 *
 * @param what names the value in messages: `The input of step "embed"`
 * @returns the output of the schema
 * @throws SentvecError `invalid-argument` with every issue and its path; `details.issues` has them for programs
 */
export async function checkSchema<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.InferOutput<Schema>> {
  const result = await schema['~standard'].validate(value);
  if (!result.issues) return result.value;
  const issues = result.issues.map(describeIssue);
  throw new SentvecError('invalid-argument', `${what} does not fit its schema: ${issues.join('; ')}.`, { issues });
}

function describeIssue({ message, path }: StandardSchemaV1.Issue): string {
  const keys = (path ?? []).map((segment) => String(typeof segment === 'object' ? segment.key : segment));
  return keys.length > 0 ? `${keys.join('.')}: ${message}` : message;
}
