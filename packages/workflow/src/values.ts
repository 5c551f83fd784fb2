/** The values that pass between steps: checked by a schema, and small when written as JSON. */
import { inspect } from 'node:util';
import { SentvecError } from '@sentvec/core';
import type { StandardSchemaV1 } from '@standard-schema/spec';

/** The most bytes of JSON that a step may take or give: values are references to data, never the data. */
export const maxValueBytes: number = 16 * 1024;

/** The most bytes of JSON of a run's input. It is stored once, and may name many files. */
export const maxInputBytes: number = 1024 * 1024;

/** The most characters of a reason that is stored with a run: an error may quote the data that it is about. */
export const maxReasonLength = 4000;

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
 * @throws SentvecError `invalid-argument` with every issue and its path; `details.issues` has them for programs;
 *   `step-failed` when the schema itself throws
 */
export async function checkSchema<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.InferOutput<Schema>> {
  const result = await validate(schema, value, what);
  if (!result.issues) return result.value;
  const issues = result.issues.map(describeIssue);
  throw new SentvecError('invalid-argument', `${what} does not fit its schema: ${issues.join('; ')}.`, { issues });
}

async function validate<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.Result<StandardSchemaV1.InferOutput<Schema>>> {
  try {
    return await schema['~standard'].validate(value);
  } catch (cause) {
    throw new SentvecError('step-failed', `${what} was not checked: ${describeThrown(cause)}`, {}, { cause });
  }
}

function describeIssue({ message, path }: StandardSchemaV1.Issue): string {
  const keys = (path ?? []).map((segment) => String(typeof segment === 'object' ? segment.key : segment));
  return keys.length > 0 ? `${keys.join('.')}: ${message}` : message;
}

/** What a thrown value says about itself, with its causes: at most `maxReasonLength` characters. Never throws. */
export function describeThrown(thrown: unknown): string {
  try {
    return shorten(messagesOf(thrown).join(': '), maxReasonLength);
  } catch {
    return 'What was thrown cannot be described.';
  }
}

/** The messages of an error and of its causes, each that says something new. */
function messagesOf(thrown: unknown): string[] {
  if (typeof thrown === 'string') return [thrown];
  if (!(thrown instanceof Error)) return [inspect(thrown, { breakLength: Infinity, customInspect: false })];
  const messages: string[] = [];
  let error: unknown = thrown;
  while (error instanceof Error && messages.length < maxCauses) {
    const { name, message } = error;
    // An AggregateError of several addresses has a code and no message.
    const text = message || ('code' in error ? String(error.code) : name);
    if (!messages.some((earlier) => earlier.includes(text))) messages.push(text);
    if (error.cause === undefined) break;
    error = error.cause;
  }
  return messages;
}

/** The most errors of a chain of causes that are described: a chain may be a ring. */
const maxCauses = 5;

/** The beginning of a text, at most `length` characters. */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
