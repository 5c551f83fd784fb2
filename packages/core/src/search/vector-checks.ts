// Checks of arguments that all search functions use: vectors, counts and choices.
import { checkCount } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { Matrix } from '../types.ts';

/**
 * Checks the shape of a matrix.
 * @param name name of the argument, for the message
 * @param minRows minimum number of rows; default: 1
 * @throws SentvecError `invalid-argument` when it is too small, or its data do not fit its shape
 */
export function checkMatrix(matrix: Matrix, name: string, minRows = 1): void {
  const { rows, cols, data } = matrix;
  if (!Number.isSafeInteger(rows) || rows < minRows || !Number.isSafeInteger(cols) || cols < 1) {
    throw new SentvecError(
      'invalid-argument',
      `${name}: a matrix of ${rows} × ${cols} is too small: at least ${minRows} × 1 is needed.`,
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
    `${name}: entry ${at % cols} of row ${row} is ${data[at]}, not a finite number. Embed the text again.`,
    { row },
  );
}

/** @throws SentvecError `invalid-argument` when vectors of two kinds have different lengths */
export function checkSameLength(length: number, name: string, otherLength: number, otherName: string): void {
  if (length === otherLength) return;
  throw new SentvecError(
    'invalid-argument',
    `Vectors of ${length} and ${otherLength} entries cannot be compared (${name}, ${otherName}). Embed both with the same model and options.`,
  );
}

/** @throws SentvecError `invalid-argument` when two lists that belong together have different numbers of rows */
export function checkSameCount(count: number, name: string, otherCount: number, otherName: string): void {
  if (count === otherCount) return;
  throw new SentvecError(
    'invalid-argument',
    `The numbers of rows must be equal, but ${name} has ${count} and ${otherName} has ${otherCount}.`,
  );
}

/**
 * Checks the number of requested results. `Infinity` requests all.
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
