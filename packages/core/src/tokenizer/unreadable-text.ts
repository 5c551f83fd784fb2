import { SentvecError } from '../errors.ts';

/**
 * Thrown for a text that cannot be tokenized. The caller turns it into a {@link textError} with the row of the text.
 */
export class UnreadableText extends Error {}

/**
 * The error of a text that cannot be tokenized.
 * @param reason predicate of a sentence whose subject is the row
 */
export function textError(row: number, reason: string): SentvecError {
  return new SentvecError('invalid-text', `Row ${row} ${reason}`, { row, reason });
}
