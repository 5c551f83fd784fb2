// Token vectors of many texts in one array: putting them together, and taking single matrices out.
import { SentvecError } from '../errors.ts';
import type { Matrix } from '../types.ts';
import type { MultiVectors } from './multi-vector-types.ts';

/** The matrix of one text, a view of the data. @throws SentvecError `invalid-argument` when there is no such text */
export function matrixOfText({ data, offsets, texts, cols }: MultiVectors, text: number): Matrix {
  if (!Number.isSafeInteger(text) || text < 0 || text >= texts)
    throw new SentvecError('invalid-argument', `There is no text ${text}: there are ${texts}, counted from 0.`);
  const [begin, end] = [offsets[text]!, offsets[text + 1]!];
  return { data: data.subarray(begin * cols, end * cols), rows: end - begin, cols };
}

/**
 * Matrices in one array, which is a copy.
 * @throws SentvecError `invalid-argument` when their vectors differ in length
 */
export function joinMatrices(matrices: readonly Matrix[]): MultiVectors {
  const cols = matrices[0]?.cols ?? 0;
  const offsets = new Float64Array(matrices.length + 1);
  for (const [text, matrix] of matrices.entries()) {
    if (matrix.cols !== cols || matrix.data.length !== matrix.rows * cols)
      throw new SentvecError(
        'invalid-argument',
        `The matrix of text ${text} has ${matrix.data.length} numbers in ${matrix.rows} × ${matrix.cols}; vectors of ${cols} entries are needed, as in the first.`,
      );
    offsets[text + 1] = offsets[text]! + matrix.rows;
  }
  const data = new Float32Array(offsets.at(-1)! * cols);
  for (const [text, matrix] of matrices.entries()) data.set(matrix.data, offsets[text]! * cols);
  return { data, offsets, texts: matrices.length, cols };
}

/**
 * @param rowLength entries of `data` that a row takes
 * @throws SentvecError `invalid-argument` when the parts do not fit together
 */
export function checkMultiVectors(
  { data, offsets, texts, cols }: Omit<MultiVectors, 'data'> & { readonly data: ArrayLike<unknown> },
  name: string,
  rowLength: number = cols,
): void {
  const fits =
    offsets.length === texts + 1 &&
    offsets[0] === 0 &&
    offsets.every((offset, i) => Number.isSafeInteger(offset) && (i === 0 || offset >= offsets[i - 1]!)) &&
    data.length === offsets[texts]! * rowLength;
  if (fits) return;
  throw new SentvecError(
    'invalid-argument',
    `${name}: ${texts} texts with ${offsets.length} offsets up to ${offsets.at(-1)} do not fill ${data.length} entries in rows of ${rowLength}.`,
  );
}
