import { SentvecError } from '../errors.ts';

/** Thrown where a text turns out to be one that the tokenizer cannot read; its row is known further up only. */
export class UnreadableText extends Error {}

/**
 * The error of a text that cannot be tokenized.
 * @param reason what it has, as the rest of a sentence
 */
export function textError(row: number, reason: string): SentvecError {
  return new SentvecError('invalid-text', `Row ${row} ${reason}`, { row, reason });
}

/** The error of a text among others that are `firstRow` further up: with the row that it has among all of them. */
export function withRowFrom(firstRow: number, error: unknown): unknown {
  if (!SentvecError.is(error, 'invalid-text')) return error;
  const { row, reason } = error.details;
  return typeof row === 'number' && typeof reason === 'string' ? textError(firstRow + row, reason) : error;
}
