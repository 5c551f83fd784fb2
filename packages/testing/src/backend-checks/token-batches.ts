import type { Matrix, TokenBatch, TokenEmbeddings } from '@sentvec/core';

/** Ids padded on the right with `padding`, to the length of the longest or to `cols`. */
export function padded(
  texts: readonly (readonly number[])[],
  cols: number = Math.max(0, ...texts.map((ids) => ids.length)),
  padding = 0,
): TokenBatch {
  const ids = new Int32Array(texts.length * cols).fill(padding);
  const mask = new Int32Array(texts.length * cols);
  for (const [row, text] of texts.entries()) {
    ids.set(text, row * cols);
    mask.fill(1, row * cols, row * cols + text.length);
  }
  return { ids, mask, rows: texts.length, cols };
}

/** The embeddings of the real tokens of each text. */
export function tokensOf(
  texts: readonly (readonly number[])[],
  batch: TokenBatch,
  { data, cols }: TokenEmbeddings,
): Float32Array[] {
  return texts.map((ids, row) => data.slice(row * batch.cols * cols, (row * batch.cols + ids.length) * cols));
}

/** The largest absolute difference; infinite when the lengths differ or a number is missing. */
export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let worst = 0;
  for (let index = 0; index < actual.length; index += 1) {
    const difference = Math.abs(actual[index]! - expected[index]!);
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
  }
  return worst;
}

/** @throws when the numbers differ by more than `tolerance`; says by how much */
export function expectClose(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  const difference = largestDifference(actual, expected);
  if (difference <= tolerance) return;
  const numbers =
    actual.length === expected.length
      ? `differ by ${difference}`
      : `are ${actual.length} numbers instead of ${expected.length}`;
  throw new Error(`${what} ${numbers}; ${tolerance} is allowed.`);
}

/** @throws when the matrix is not of this size */
export function expectSize(what: string, matrix: Matrix, rows: number, cols: number): void {
  if (matrix.rows === rows && matrix.cols === cols && matrix.data.length === rows * cols) return;
  throw new Error(
    `${what} are ${matrix.rows} × ${matrix.cols} with ${matrix.data.length} numbers, not ${rows} × ${cols}.`,
  );
}
