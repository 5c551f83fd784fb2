/** Values that pass between steps: small JSON, validated by schemas. */
import { inspect } from 'node:util';
import { SentvecError } from '@sentvec/core';
import type { StandardSchemaV1 } from '@standard-schema/spec';

/** Maximum bytes of a step's input or output as JSON. Values should refer to data, not contain it. */
export const maxValueBytes: number = 16 * 1024;

/** Maximum bytes of a run's input as JSON. It is stored once, and may list many files. */
export const maxInputBytes: number = 1024 * 1024;

/** Maximum characters of a stored reason. Errors may quote large data. */
export const maxReasonLength = 4000;

/**
 * Converts a value to JSON and back, so that all runtimes pass the same value: a `Date` becomes a string, `undefined`
 * becomes `null`.
 *
 * @param what description of the value for error messages, such as `The input of step "embed"`
 * @throws SentvecError `invalid-argument` for a value that JSON cannot represent, or that has more than `maxBytes`
 */
export function toJsonValue(value: unknown, what: string, maxBytes: number = maxValueBytes): unknown {
  const json = stringify(value, what);
  const bytes = Buffer.byteLength(json);
  if (bytes > maxBytes) {
    const message = `${what} has ${bytes} bytes of JSON; the maximum is ${maxBytes}. Write the data to a file and pass a reference to it.`;
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
 * Validates a value with any Standard Schema library (valibot, zod, arktype …).
 *
 * @param what description of the value for error messages, such as `The input of step "embed"`
 * @returns the output of the schema
 * @throws SentvecError `invalid-argument`; the message and `details.issues` list every issue with its path;
 * `step-failed` when the schema itself throws
 */
export async function checkSchema<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.InferOutput<Schema>> {
  const result = await validate(schema, value, what);
  if (!result.issues) return result.value;
  const issues = result.issues.map(describeIssue);
  throw new SentvecError('invalid-argument', `${what} does not match its schema: ${issues.join('; ')}.`, { issues });
}

async function validate<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: string,
): Promise<StandardSchemaV1.Result<StandardSchemaV1.InferOutput<Schema>>> {
  try {
    return await schema['~standard'].validate(value);
  } catch (cause) {
    throw new SentvecError(
      'step-failed',
      `${what} could not be validated, because its schema failed: ${describeThrown(cause)}`,
      {},
      { cause },
    );
  }
}

function describeIssue({ message, path }: StandardSchemaV1.Issue): string {
  const keys = (path ?? []).map((segment) => String(typeof segment === 'object' ? segment.key : segment));
  return keys.length > 0 ? `${keys.join('.')}: ${message}` : message;
}

/** Describes a thrown value and its causes in at most `maxReasonLength` characters. Never throws. */
export function describeThrown(thrown: unknown): string {
  try {
    return shorten(messagesOf(thrown).join(': '), maxReasonLength);
  } catch {
    return 'The thrown value cannot be described.';
  }
}

/** The messages of an error and its causes, without repetitions. */
function messagesOf(thrown: unknown): string[] {
  if (typeof thrown === 'string') return [thrown];
  if (!(thrown instanceof Error)) return [inspect(thrown, { breakLength: Infinity, customInspect: false })];
  const messages: string[] = [];
  let error: unknown = thrown;
  while (error instanceof Error && messages.length < maxCauses) {
    const { name, message } = error;
    // The AggregateError of a failed connection to several addresses has a code but no message.
    const text = message || ('code' in error ? String(error.code) : name);
    if (!messages.some((earlier) => earlier.includes(text))) messages.push(text);
    if (error.cause === undefined) break;
    error = error.cause;
  }
  return messages;
}

/** Maximum number of causes that are described. A chain of causes may be circular. */
const maxCauses = 5;

/** Shortens a text to at most `length` characters. */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
