import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { minLength } from './similarity.ts';
import type { Matrix } from '../types.ts';
import { checkMatrix } from './vector-checks.ts';

/** Options of {@link truncateEmbeddings}. */
export interface TruncateOptions {
  /**
   * Whether the truncated vectors are normalized to length 1.
   * @default false
   */
  readonly normalize?: boolean | undefined;
}

const optionNames: OptionNames<TruncateOptions> = {
  normalize: true,
};

/**
 * Truncates each row to its first `dimension` entries, and optionally normalizes it. For models that were trained with
 * Matryoshka Representation Learning (Kusupati et al. 2022), whose first entries carry most of the information.
 * @throws SentvecError `invalid-argument` when the rows have fewer entries
 */
export function truncateEmbeddings(embeddings: Matrix, dimension: number, options: TruncateOptions = {}): Matrix {
  checkOptionNames('truncateEmbeddings()', options, optionNames);
  const { normalize = false } = options;
  checkMatrix(embeddings, 'The embeddings', 0);
  checkCount(dimension, 'dimension');
  const { data, rows, cols } = embeddings;
  if (dimension > cols) {
    throw new SentvecError('invalid-argument', `Vectors of ${cols} entries cannot be truncated to ${dimension}.`);
  }
  const truncated = new Float32Array(rows * dimension);
  for (let row = 0; row < rows; row++) {
    const vector = data.subarray(row * cols, row * cols + dimension);
    let squares = 0;
    for (let i = 0; i < dimension; i++) squares += vector[i]! ** 2;
    const length = normalize ? Math.max(Math.sqrt(squares), minLength) : 1;
    for (let i = 0; i < dimension; i++) truncated[row * dimension + i] = vector[i]! / length;
  }
  return { data: truncated, rows, cols: dimension };
}
