// What every search checks of the vectors, counts and choices that it is given.
import { checkCount } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { Matrix } from '../types.ts';

/**
 * Checks a matrix that a caller gave.
 * @param name what the caller calls it, for the message
 * @param leastRows default 1
 * @throws SentvecError `invalid-argument` when it is too small, or its data do not fill it
 */
export function checkMatrix(matrix: Matrix, name: string, leastRows = 1): void {
  const { rows, cols, data } = matrix;
  if (!Number.isSafeInteger(rows) || rows < leastRows || !Number.isSafeInteger(cols) || cols < 1) {
    throw new SentvecError(
      'invalid-argument',
      `${name}: a matrix of ${rows} × ${cols} is too small: at least ${leastRows} × 1 is needed.`,
    );
  }
  if (data.length !== rows * cols) {
    throw new SentvecError(
      'invalid-argument',
      `${name}: a matrix of ${rows} × ${cols} needs ${rows * cols} numbers, not ${data.length}.`,
    );
  }
}

/** @throws SentvecError `invalid-argument` when an entry is not a number, or infinite (details.row) */
export function checkNumbers({ data, cols }: Matrix, name: string): void {
  const at = data.findIndex((entry) => !Number.isFinite(entry));
  if (at === -1) return;
  const row = Math.floor(at / cols);
  throw new SentvecError(
    'invalid-argument',
    `${name}: entry ${at % cols} of row ${row} is ${data[at]}, with which nothing can be compared. Embed the text again.`,
    { row },
  );
}

/** @throws SentvecError `invalid-argument` when vectors of two kinds have different lengths */
export function checkSameLength(length: number, name: string, otherLength: number, otherName: string): void {
  if (length === otherLength) return;
  throw new SentvecError(
    'invalid-argument',
    `Vectors of ${length} and ${otherLength} entries cannot be compared (${name}, ${otherName}). Do both come from the same model?`,
  );
}

/** @throws SentvecError `invalid-argument` when lists that belong together row by row have different numbers of rows */
export function checkSameCount(count: number, name: string, otherCount: number, otherName: string): void {
  if (count === otherCount) return;
  throw new SentvecError(
    'invalid-argument',
    `Rows are compared in pairs, but ${name} has ${count} and ${otherName} has ${otherCount}.`,
  );
}

/**
 * Checks how many of the best a caller wants. Infinity is all.
 * @throws SentvecError `invalid-argument`
 */
export function checkTopK(topK: number): void {
  if (topK !== Infinity) checkCount(topK, 'topK');
}

/** @throws SentvecError `invalid-argument` when a value is not one of the choices */
export function checkChoice<T extends string>(value: T, choices: readonly T[], name: string): void {
  if (choices.includes(value)) return;
  throw new SentvecError(
    'invalid-argument',
    `${name} cannot be ${JSON.stringify(value)}. Choose from ${choices.join(', ')}.`,
  );
}
