import { SentvecError } from './errors.ts';

/**
 * Translates the row numbers of an error, in its details and in its message, from those of a part of the work (such as
 * a batch) to those of the caller.
 * @param rowOf gives the caller's row for a row of the part
 * @returns the translated error; an error without rows unchanged
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
