import { rowOf, type Matrix } from '@sentvec/core';
import { expect, it } from 'vitest';

it('a row of a matrix is a view of its data', () => {
  const matrix: Matrix = { data: Float32Array.of(1, 2, 3, 4, 5, 6), rows: 3, cols: 2 };
  expect([0, 1, 2].map((row) => [...rowOf(matrix, row)])).toEqual([
    [1, 2],
    [3, 4],
    [5, 6],
  ]);
  rowOf(matrix, 1)[0] = 30;
  expect([...matrix.data]).toEqual([1, 2, 30, 4, 5, 6]);
});
