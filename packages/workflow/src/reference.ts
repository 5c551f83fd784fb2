import { createHash } from 'node:crypto';
import { SentvecError } from '@sentvec/core';

/** The most bytes of JSON that a step may take or give: values are references to data, never the data. */
export const maxValueBytes: number = 16 * 1024;

/**
 * The value as its JSON form has it, so that every runtime hands on the same: a `Date` becomes a string, `undefined`
 * becomes `null`.
 *
 * @throws SentvecError `invalid-argument` for what JSON cannot hold, and for more than `maxBytes` of it
 */
export function toJsonValue(value: unknown, what: string, maxBytes: number = maxValueBytes): unknown {
  const json = stringify(value, what);
  const bytes = Buffer.byteLength(json);
  if (bytes > maxBytes) {
    throw new SentvecError(
      'invalid-argument',
      `${what} has ${bytes} bytes of JSON; at most ${maxBytes} are allowed. Write the data to a file and give a reference to it.`,
      { bytes, maxBytes },
    );
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
 * The id of a run, from what it is to do: the same workflow with an equal input has the same id, whatever the order of
 * keys. 32 hexadecimal digits of SHA-256 behind an `r`, which makes it a job id that BullMQ accepts.
 */
export function runId(workflow: string, input: unknown): string {
  const hash = createHash('sha256')
    .update(`${workflow}\n${canonicalJson(input)}`)
    .digest('hex');
  return `r${hash.slice(0, 32)}`;
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, entry: unknown) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)))
      : entry,
  );
}
