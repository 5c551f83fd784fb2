import { expect, test } from 'vitest';
import { plainOperations, plainTensor } from '@sentvec/architectures';
import { dropoutKey, keyedDropout } from '../src/step/dropout.ts';

/**
 * Applies dropout to a matrix of ones. Returns for each layer which entries are dropped (1), and the values of the kept
 * entries.
 */
function dropped(key: Float32Array, rows: number, cols: number, rate: number, layers = 1) {
  const drop = keyedDropout(plainOperations, plainTensor(key, [4]));
  const ones = plainTensor(new Float32Array(rows * cols).fill(1), [rows, cols]);
  const outputs = Array.from({ length: layers }, () => [...drop(ones, rate).data]);
  return { outputs, masks: outputs.map((output) => output.map((entry) => Number(entry === 0))) };
}

const [rows, cols, rate] = [6000, 64, 0.1];
const share = Math.round(rate * 2039) / 2039;
const { masks, outputs } = dropped(dropoutKey(1, 0, 0), rows, cols, rate, 2);

/** Standardizes the entries: mean 0 and standard deviation 1 if each is dropped with the expected probability. */
const standardized = (mask: readonly number[]) =>
  Float64Array.from(mask, (entry) => (entry - share) / Math.sqrt(share * (1 - share)));
const [first, second] = masks.map(standardized) as [Float64Array, Float64Array];

/** Autocorrelation of the entries at a distance: about standard normal if they are independent. */
function correlation(a: Float64Array, b: Float64Array, distance = 0): number {
  const count = a.length - distance;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[i]! * b[i + distance]!;
  return sum / Math.sqrt(count);
}

test.each([0.1, 0.25, 0.5])('at a rate of %d the kept entries are scaled up, so that the mean stays', (each) => {
  const { outputs: found } = dropped(dropoutKey(3, 0, 0), 1000, 64, each);
  const output = found[0]!;
  const mean = output.reduce((sum, entry) => sum + entry, 0) / output.length;
  expect(Math.abs(mean - 1)).toBeLessThan(4 * Math.sqrt(each / (1 - each) / output.length));
  const values = [...new Set(output)].sort((a, b) => a - b);
  expect(values).toEqual([0, expect.closeTo(1 / (1 - each), 2)]);
});

test('a rate of 0 drops nothing', () => {
  expect(new Set(dropped(dropoutKey(3, 0, 0), 50, 8, 0).outputs[0])).toEqual(new Set([1]));
});

test('entries are dropped with the given rate, in every row and every column', () => {
  const byRow = Array.from({ length: rows }, (_, row) => first.subarray(row * cols, (row + 1) * cols));
  const ofRows = byRow.map((row) => row.reduce((sum, entry) => sum + entry, 0) / Math.sqrt(cols));
  const ofColumns = Array.from(
    { length: cols },
    (_, column) => byRow.reduce((sum, row) => sum + row[column]!, 0) / Math.sqrt(rows),
  );
  for (const sums of [ofRows, ofColumns]) {
    const chiSquared = sums.reduce((sum, entry) => sum + entry * entry, 0);
    expect(Math.abs(chiSquared - sums.length) / Math.sqrt(2 * sums.length)).toBeLessThan(4);
  }
});

test('no two rows are equal, and neighbouring entries do not correlate', () => {
  const apart = [1, 2, 3, 5, 7, 10, 32, 64, 100, 128, 384, 512, 1000, 2038, 2039, 2040, 4078, 5000];
  for (const distance of apart) expect(Math.abs(correlation(first, first, distance * cols))).toBeLessThan(4.5);
  for (let distance = 1; distance < cols; distance++)
    expect(Math.abs(correlation(first, first, distance))).toBeLessThan(4.5);
  const mask = masks[0]!;
  const different = new Set(
    Array.from({ length: rows }, (_, row) => mask.slice(row * cols, (row + 1) * cols).join('')),
  );
  // At this rate and width, a few rows are equal by chance.
  expect(different.size).toBeGreaterThan(rows - 40);
});

test('masks do not repeat beyond row 10,000', () => {
  const [tall, narrow] = [40_000, 8];
  const entries = standardized(dropped(dropoutKey(9, 0, 0), tall, narrow, rate).masks[0]!);
  for (const distance of [9699, 10_000, 20_000, 2039 * 8, 30_000]) {
    expect(Math.abs(correlation(entries, entries, distance * narrow))).toBeLessThan(4.5);
  }
});

test('pairs of columns do not correlate', () => {
  let largest = 0;
  let squares = 0;
  for (let a = 0; a < cols; a++) {
    for (let b = a + 1; b < cols; b++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += first[row * cols + a]! * first[row * cols + b]!;
      largest = Math.max(largest, Math.abs(sum) / Math.sqrt(rows));
      squares += sum ** 2 / rows;
    }
  }
  expect(largest).toBeLessThan(5);
  expect(squares / ((cols * (cols - 1)) / 2)).toBeCloseTo(1, 0);
});

test('layers, steps, batches and parts of batches have different masks', () => {
  expect(Math.abs(correlation(first, second))).toBeLessThan(4.5);
  for (const [seed, batch, part] of [
    [2, 0, 0],
    [1, 1, 0],
    [1, 0, 1],
    [1, 1, 1],
  ] as const) {
    const other = standardized(dropped(dropoutKey(seed, batch, part), 1000, cols, rate).masks[0]!);
    expect(Math.abs(correlation(other, first))).toBeLessThan(4.5);
  }
  expect(dropped(dropoutKey(1, 0, 0), 10, cols, rate).outputs[0]).toEqual(outputs[0]!.slice(0, 10 * cols));
});
