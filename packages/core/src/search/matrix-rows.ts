import type { Matrix } from '../types.ts';

/** One row of a matrix, a view of its data. */
export function rowOf({ data, cols }: Matrix, row: number): Float32Array {
  return data.subarray(row * cols, (row + 1) * cols);
}

/** Copies some rows of a matrix, in the given order. */
export function gatherRows(matrix: Matrix, rows: readonly number[]): Matrix {
  const { cols } = matrix;
  const gathered = new Float32Array(rows.length * cols);
  rows.forEach((row, i) => gathered.set(rowOf(matrix, row), i * cols));
  return { data: gathered, rows: rows.length, cols };
}
