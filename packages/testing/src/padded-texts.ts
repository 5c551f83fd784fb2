// Batches of random token vectors, as the pooling contract needs them.
import { rowOf, type Matrix, type TokenBatch, type TokenEmbeddings } from '@sentvec/core';

/** A batch of texts with a vector for each token. */
export interface PaddedTexts {
  readonly tokens: TokenEmbeddings;
  readonly batch: TokenBatch;
}

/** Vectors with numbers from -1 to 1, the same for the same seed. */
export function randomVectors(length: number, size: number, seed: number): number[][] {
  let state = Math.imul(seed, 2_654_435_761) >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  };
  return Array.from({ length }, () => Array.from({ length: size }, next));
}

/** The texts' token vectors in one batch of `cols` columns, padding on the right. */
export function padRight(texts: readonly number[][][], size: number, cols: number = longest(texts)): PaddedTexts {
  return pad(texts, size, cols, () => 0);
}

/** The same with padding on the left. */
export function padLeft(texts: readonly number[][][], size: number): PaddedTexts {
  const cols = longest(texts);
  return pad(texts, size, cols, (text) => cols - text.length);
}

/**
 * Masks the first token of each text that has more (a prompt that does not take part), and one in the middle of a
 * longer one.
 */
export function withHoles({ tokens, batch }: PaddedTexts): PaddedTexts {
  const mask = batch.mask.slice();
  for (let row = 0; row < batch.rows; row++) {
    const length = mask.subarray(row * batch.cols, (row + 1) * batch.cols).reduce((sum, bit) => sum + bit, 0);
    if (length > 1) mask[row * batch.cols] = 0;
    if (length > 4) mask[row * batch.cols + 2] = 0;
  }
  return { tokens, batch: { ...batch, mask } };
}

/** The same batch with `value` in the vectors of all masked tokens. */
export function fillMasked({ tokens, batch }: PaddedTexts, value: number): PaddedTexts {
  const data = tokens.data.slice();
  for (const [token, bit] of batch.mask.entries())
    if (bit === 0) data.fill(value, token * tokens.cols, (token + 1) * tokens.cols);
  return { tokens: { ...tokens, data }, batch };
}

/** The rows of a matrix as arrays. */
export function rowsOf(matrix: Matrix): number[][] {
  return Array.from({ length: matrix.rows }, (_, row) => [...rowOf(matrix, row)]);
}

function longest(texts: readonly number[][][]): number {
  return Math.max(0, ...texts.map((text) => text.length));
}

function pad(
  texts: readonly number[][][],
  size: number,
  cols: number,
  begin: (text: number[][]) => number,
): PaddedTexts {
  const rows = texts.length;
  const data = new Float32Array(rows * cols * size);
  const mask = new Int32Array(rows * cols);
  for (const [row, text] of texts.entries()) {
    for (const [index, vector] of text.entries()) {
      const token = row * cols + begin(text) + index;
      data.set(vector, token * size);
      mask[token] = 1;
    }
  }
  return { tokens: { data, rows: rows * cols, cols: size }, batch: { ids: mask.slice(), mask, rows, cols } };
}
