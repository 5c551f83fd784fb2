import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { leastLength } from './similarity.ts';
import type { Matrix } from '../types.ts';
import { checkMatrix } from './vector-checks.ts';

/** Options of {@link truncateEmbeddings}. */
export interface TruncateOptions {
  /**
   * Whether the shorter vectors are divided by their length.
   * @default false
   */
  readonly normalize?: boolean | undefined;
}

const optionNames: OptionNames<TruncateOptions> = {
  normalize: true,
};

/**
 * The first `dimension` entries of each row, as they are or divided by their length: for embeddings of a model that was
 * trained so that they carry the most (Matryoshka Representation Learning, Kusupati et al. 2022).
 * @throws SentvecError `invalid-argument` when the rows have fewer entries
 */
export function truncateEmbeddings(embeddings: Matrix, dimension: number, options: TruncateOptions = {}): Matrix {
  checkOptionNames('truncateEmbeddings()', options, optionNames);
  const { normalize = false } = options;
  checkMatrix(embeddings, 'The embeddings', 0);
  checkCount(dimension, 'dimension');
  const { data, rows, cols } = embeddings;
  if (dimension > cols) {
    throw new SentvecError('invalid-argument', `Vectors of ${cols} entries cannot be cut to ${dimension}.`);
  }
  const truncated = new Float32Array(rows * dimension);
  for (let row = 0; row < rows; row++) {
    const vector = data.subarray(row * cols, row * cols + dimension);
    let squares = 0;
    for (let i = 0; i < dimension; i++) squares += vector[i]! ** 2;
    const length = normalize ? Math.max(Math.sqrt(squares), leastLength) : 1;
    for (let i = 0; i < dimension; i++) truncated[row * dimension + i] = vector[i]! / length;
  }
  return { data: truncated, rows, cols: dimension };
}
