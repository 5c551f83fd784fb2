// Similarities in double precision: of all pairs of rows, or of corresponding rows.
import type { Matrix, SimilarityFunction } from '../types.ts';
import { checkChoice, checkMatrix, checkSameCount, checkSameLength } from './vector-checks.ts';

/** The names of all similarity functions. */
export const similarityFunctions: readonly SimilarityFunction[] = ['cosine', 'dot', 'euclidean', 'manhattan'];

/**
 * Lower bound for the length that a vector is divided by, as in `torch.nn.functional.normalize`, so that the cosine
 * with a zero vector is 0.
 */
export const minLength = 1e-12;

/**
 * The similarity of each row of `a` to each row of `b`; larger is nearer, so distances are negated. Computed in double
 * precision. Runs synchronously and blocks the thread; for large matrices use {@link semanticSearch}. Follows
 * `sentence_transformers/util/similarity.py`.
 * @returns `a.rows` × `b.rows`
 * @throws SentvecError `invalid-argument` when the vectors differ in length, or there are none
 */
export function similarity(a: Matrix, b: Matrix, measure: SimilarityFunction = 'cosine'): Matrix {
  checkVectors(a, b, measure);
  const result = new Float32Array(a.rows * b.rows);
  if (measure === 'cosine' || measure === 'dot') {
    // Products are divided by the lengths before they are stored, since they may exceed the range of float32.
    const [x, y] = measure === 'cosine' ? [lengths(a), lengths(b)] : [ones(a.rows), ones(b.rows)];
    dotProducts(a, b, x, y, result);
  } else {
    const compare = comparisons[measure];
    for (let i = 0; i < a.rows; i++) {
      for (let j = 0; j < b.rows; j++) result[i * b.rows + j] = compare(a.data, i * a.cols, b.data, j * b.cols, a.cols);
    }
  }
  return { data: result, rows: a.rows, cols: b.rows };
}

/**
 * The similarity of each row of `a` to the same row of `b`; see {@link similarity}.
 * @returns a number for each row
 * @throws SentvecError `invalid-argument` when the vectors differ in length or number, or there are none
 */
export function pairwiseSimilarity(a: Matrix, b: Matrix, measure: SimilarityFunction = 'cosine'): Float64Array {
  checkVectors(a, b, measure);
  checkSameCount(a.rows, 'the first matrix', b.rows, 'the second matrix');
  const compare = comparisons[measure];
  return Float64Array.from({ length: a.rows }, (_, row) => compare(a.data, row * a.cols, b.data, row * b.cols, a.cols));
}

function checkVectors(a: Matrix, b: Matrix, measure: SimilarityFunction): void {
  checkChoice(measure, similarityFunctions, 'The similarity function');
  checkMatrix(a, 'The first matrix');
  checkMatrix(b, 'The second matrix');
  checkSameLength(a.cols, 'first matrix', b.cols, 'second matrix');
}

type Compare = (a: Float32Array, x: number, b: Float32Array, y: number, length: number) => number;

const comparisons: Readonly<Record<SimilarityFunction, Compare>> = {
  dot,
  cosine: (a, x, b, y, length) =>
    dot(a, x, b, y, length) /
    (Math.max(Math.sqrt(dot(a, x, a, x, length)), minLength) * Math.max(Math.sqrt(dot(b, y, b, y, length)), minLength)),
  euclidean: (a, x, b, y, length) => {
    let sum = 0;
    for (let i = 0; i < length; i++) sum += (a[x + i]! - b[y + i]!) ** 2;
    return 0 - Math.sqrt(sum);
  },
  manhattan: (a, x, b, y, length) => {
    let sum = 0;
    for (let i = 0; i < length; i++) sum += Math.abs(a[x + i]! - b[y + i]!);
    return 0 - sum;
  },
};

function dot(a: Float32Array, x: number, b: Float32Array, y: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[x + i]! * b[y + i]!;
  return sum;
}

function lengths(vectors: Matrix): Float64Array {
  const { data, rows, cols } = vectors;
  return Float64Array.from({ length: rows }, (_, row) =>
    Math.max(Math.sqrt(dot(data, row * cols, data, row * cols, cols)), minLength),
  );
}

function ones(count: number): Float64Array {
  return new Float64Array(count).fill(1);
}

/**
 * The dot products of all pairs of rows, divided by the divisors of both rows. Processes four rows of `a` at a time, so
 * that each number that is read is used in four products: 2.5 GFLOP/s instead of 0.9.
 */
function dotProducts(
  a: Matrix,
  b: Matrix,
  aDivisors: Float64Array,
  bDivisors: Float64Array,
  result: Float32Array,
): void {
  const { cols } = a;
  const [x, y] = [a.data, b.data];
  let i = 0;
  for (; i + 3 < a.rows; i += 4) {
    const x0 = i * cols;
    for (let j = 0; j < b.rows; j++) {
      let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
      for (let k = 0, at = j * cols; k < cols; k++) {
        const entry = y[at + k]!;
        sum0 += x[x0 + k]! * entry;
        sum1 += x[x0 + cols + k]! * entry;
        sum2 += x[x0 + 2 * cols + k]! * entry;
        sum3 += x[x0 + 3 * cols + k]! * entry;
      }
      const at = i * b.rows + j;
      const divisor = bDivisors[j]!;
      result[at] = sum0 / (aDivisors[i]! * divisor);
      result[at + b.rows] = sum1 / (aDivisors[i + 1]! * divisor);
      result[at + 2 * b.rows] = sum2 / (aDivisors[i + 2]! * divisor);
      result[at + 3 * b.rows] = sum3 / (aDivisors[i + 3]! * divisor);
    }
  }
  for (; i < a.rows; i++) {
    for (let j = 0; j < b.rows; j++) {
      result[i * b.rows + j] = dot(x, i * cols, y, j * cols, cols) / (aDivisors[i]! * bDivisors[j]!);
    }
  }
}
