import { SentvecError } from '../errors.ts';

/** Thrown for a text that the tokenizer cannot read. The caller, which knows the row of the text, adds it. */
export class UnreadableText extends Error {}

/**
 * The error of a text that cannot be tokenized.
 * @param reason the rest of a sentence that begins with the row
 */
export function textError(row: number, reason: string): SentvecError {
  return new SentvecError('invalid-text', `Row ${row} ${reason}`, { row, reason });
}
