import { SentvecError } from './errors.ts';

/**
 * An error about some of the texts that a part of the work was given, with its rows counted as its caller counts them:
 * in the details, and wherever the message names them.
 * @param rowOf the caller's row for a row of the part
 * @returns any other error as it is
 */
export function withRows(error: unknown, rowOf: (row: number) => number): unknown {
  if (!SentvecError.is(error) || typeof error.details.row !== 'number') return error;
  const { row, rows } = error.details;
  const named = Array.isArray(rows) ? (rows as number[]) : undefined;
  const known = new Set([row, ...(named ?? [])]);
  const message = error.message.replaceAll(/\b([Rr]ow) (\d+)\b/gu, (whole, word: string, number: string) =>
    known.has(Number(number)) ? `${word} ${rowOf(Number(number))}` : whole,
  );
  const details = { ...error.details, row: rowOf(row), ...(named && { rows: [...new Set(named.map(rowOf))] }) };
  return new SentvecError(error.code, message, details, { cause: error });
}
