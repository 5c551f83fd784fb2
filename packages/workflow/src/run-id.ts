import { createHash } from 'node:crypto';
import { SentvecError } from '@sentvec/core';
import { canonicalJson } from '@sentvec/platform';

/**
 * The id of a run, from what it is to do: the same workflow with an equal input has the same id, whatever the order of
 * keys. An `r`, then 32 hexadecimal digits of SHA-256: BullMQ accepts it as a job id.
 *
 * @param input JSON values only
 */
export function runId(workflow: string, input: unknown): string {
  const hash = createHash('sha256')
    .update(`${workflow}\n${canonicalJson(input)}`)
    .digest('hex');
  return `r${hash.slice(0, 32)}`;
}

/**
 * Checks an id that a caller chose.
 *
 * @returns the id
 * @throws SentvecError `invalid-argument` unless every runtime can use it
 */
export function checkRunId(id: string): string {
  if (/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(id)) return id;
  throw new SentvecError(
    'invalid-argument',
    `"${id}" cannot be the id of a run: use up to 64 letters, digits, "-" and "_", beginning with a letter.`,
  );
}
