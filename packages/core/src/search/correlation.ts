// Correlation coefficients, which measure how well a model's similarities agree with human scores.
import { SentvecError } from '../errors.ts';

/**
 * Pearson's correlation of two lists of numbers, from -1 to 1; NaN when one of them is constant.
 * @throws SentvecError `invalid-argument` when they differ in length, or have less than two numbers
 */
export function pearsonCorrelation(x: ArrayLike<number>, y: ArrayLike<number>): number {
  if (x.length !== y.length || x.length < 2) {
    throw new SentvecError(
      'invalid-argument',
      `A correlation needs two lists of the same length, at least 2, not of ${x.length} and ${y.length}.`,
    );
  }
  if (isConstant(x) || isConstant(y)) return NaN;
  const [meanX, meanY] = [mean(x), mean(y)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [x[i]! - meanX, y[i]! - meanY];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  const correlation = xy / (Math.sqrt(xx) * Math.sqrt(yy));
  return Math.min(Math.max(correlation, -1), 1);
}

/**
 * Spearman's rank correlation: Pearson's of the {@link ranks}.
 * @throws SentvecError `invalid-argument` when they differ in length, or have less than two numbers
 */
export function spearmanCorrelation(x: ArrayLike<number>, y: ArrayLike<number>): number {
  return pearsonCorrelation(ranks(x), ranks(y));
}

/**
 * The rank of each number in ascending order, from 1; equal numbers share the mean of their ranks. When one of the numbers
 * is NaN, all ranks are.
 */
export function ranks(numbers: ArrayLike<number>): Float64Array {
  const found = new Float64Array(numbers.length);
  const order = Array.from(numbers, (_, i) => i).sort((a, b) => numbers[a]! - numbers[b]!);
  if (order.some((i) => Number.isNaN(numbers[i]))) return found.fill(NaN);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && numbers[order[end]!] === numbers[order[start]!]) end++;
    for (let i = start; i < end; i++) found[order[i]!] = (start + 1 + end) / 2;
    start = end;
  }
  return found;
}

/** Rounding can give a constant list a variance above 0, so this is checked separately. */
function isConstant(numbers: ArrayLike<number>): boolean {
  for (let i = 1; i < numbers.length; i++) if (numbers[i] !== numbers[0]) return false;
  return true;
}

function mean(numbers: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i]!;
  return sum / numbers.length;
}
