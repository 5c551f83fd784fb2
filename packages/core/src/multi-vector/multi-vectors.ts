// Joins the token vectors of many texts into one array, and extracts the matrix of a single text.
import { SentvecError } from '../errors.ts';
import type { Matrix } from '../types.ts';
import type { MultiVectors } from './multi-vector-types.ts';

/** The matrix of one text, a view of the data. @throws SentvecError `invalid-argument` when there is no such text */
export function matrixOfText({ data, offsets, texts, cols }: MultiVectors, text: number): Matrix {
  if (!Number.isSafeInteger(text) || text < 0 || text >= texts)
    throw new SentvecError(
      'invalid-argument',
      `There is no text ${text}: the indices of the ${texts} texts start at 0.`,
    );
  const [begin, end] = [offsets[text]!, offsets[text + 1]!];
  return { data: data.subarray(begin * cols, end * cols), rows: end - begin, cols };
}

/**
 * Copies matrices into one array.
 * @throws SentvecError `invalid-argument` when their vectors differ in length
 */
export function joinMatrices(matrices: readonly Matrix[]): MultiVectors {
  const cols = matrices[0]?.cols ?? 0;
  const offsets = new Float64Array(matrices.length + 1);
  for (const [text, matrix] of matrices.entries()) {
    if (matrix.cols !== cols || matrix.data.length !== matrix.rows * cols)
      throw new SentvecError(
        'invalid-argument',
        `The matrix of text ${text} has ${matrix.data.length} numbers for ${matrix.rows} × ${matrix.cols}; like the first matrix, it must have ${cols} columns.`,
      );
    offsets[text + 1] = offsets[text]! + matrix.rows;
  }
  const data = new Float32Array(offsets.at(-1)! * cols);
  for (const [text, matrix] of matrices.entries()) data.set(matrix.data, offsets[text]! * cols);
  return { data, offsets, texts: matrices.length, cols };
}

/**
 * Checks that offsets and data fit together.
 * @param rowLength number of entries of `data` for each row
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
    `${name}: ${offsets.length} offsets up to ${offsets.at(-1)} do not fit ${texts} texts and ${data.length} entries in rows of ${rowLength}.`,
  );
}
