import type { Matrix } from './types.ts';

/** Some rows of a matrix, in the order given, as a matrix of their own. */
export function gatherRows({ data, cols }: Matrix, rows: readonly number[]): Matrix {
  const gathered = new Float32Array(rows.length * cols);
  rows.forEach((row, i) => gathered.set(data.subarray(row * cols, (row + 1) * cols), i * cols));
  return { data: gathered, rows: rows.length, cols };
}
