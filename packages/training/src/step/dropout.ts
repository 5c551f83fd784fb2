// Dropout whose masks are computed from a key by tensor operations, so that all engines get the same masks.
import { productOf, type Dimension, type Operations } from '@sentvec/architectures';
import { Random } from '../random.ts';

/**
 * The masks are computed with integers below this prime. All products and sums stay below 2^24, so float32 represents
 * them exactly, and every runtime computes the same masks.
 */
const prime = 2039;

/** Number of integers in a key. */
export const dropoutKeySize = 4;

/**
 * The dropout key of a part of a batch, for {@link keyedDropout}. Equal arguments give equal keys, others give
 * independent keys. Both passes of gradient caching use the same key, so they drop the same entries.
 * @param seed the seed of the step
 * @param batch the index of the batch in the step
 * @param part the index of the part in the batch
 */
export function dropoutKey(seed: number, batch: number, part: number): Float32Array {
  const random = new Random(new Random(new Random(seed).integer(), batch).integer(), part);
  return Float32Array.from({ length: dropoutKeySize }, () => random.below(prime));
}

/**
 * Dropout by tensor operations: each entry becomes 0 with probability `rate`, and is divided by `1 - rate` otherwise. A
 * hash of row, column, layer and key decides, so runs are reproducible, and the key is the only input that a recorded
 * graph needs. `rate` is rounded to a multiple of 1 / 2039.
 *
 * The hash: row and column index are scrambled separately, by four rounds of a Feistel network with the key, modulo the
 * prime. From the results, each layer derives five numbers r of the row and three numbers c of the column. They are
 * combined to u = r₁c₁ + r₂c₂ + r₃ and v = u² + r₄c₃ + r₅ (modulo the prime); the entry is dropped if v is below `rate`
 * times the prime.
 *
 * @param key from {@link dropoutKey}, shape `[4]`
 */
export function keyedDropout<Tensor>(ops: Operations<Tensor>, key: Tensor): (x: Tensor, rate: number) => Tensor {
  const known = { rows: new Map<Dimension, Scrambled<Tensor>>(), columns: new Map<Dimension, Scrambled<Tensor>>() };
  const scrambled = (axis: 'rows' | 'columns', count: Dimension) => {
    const found = known[axis].get(count) ?? scramble(ops, count, key, axis === 'rows' ? [0, 1, 2, 3] : [3, 2, 1, 0]);
    known[axis].set(count, found);
    return found;
  };
  const random = new Random(prime);
  return (x, rate) => {
    const shape = ops.shape(x);
    const [rows, columns] = [productOf(shape.slice(0, -1)), shape.at(-1)!];
    const [r1, r2, r3, r4, r5] = numbersOf(ops, scrambled('rows', rows), 5, random, [1, rows, 1]);
    const [c1, c2, c3] = numbersOf(ops, scrambled('columns', columns), 3, random, [1, 1, columns]);
    const u = modulo(ops, ops.add(ops.add(ops.multiply(r1!, c1!), ops.multiply(r2!, c2!)), r3!));
    const v = modulo(ops, ops.add(ops.add(ops.multiply(u, u), ops.multiply(r4!, c3!)), r5!));
    const dropped = Math.round(rate * prime);
    const kept = ops.greater(ops.reshape(v, shape), dropped - 0.5);
    return ops.multiply(x, ops.multiply(kept, prime / (prime - dropped)));
  };
}

/** Two numbers below the prime for each row or column, `[1, count]`. */
type Scrambled<Tensor> = readonly [Tensor, Tensor];

/**
 * Scrambles the numbers 0 to `count - 1` with the key. The results are distinct if `count` is at most 2039².
 * @param rounds the index of the key's number that each round uses
 */
function scramble<Tensor>(
  ops: Operations<Tensor>,
  count: Dimension,
  key: Tensor,
  rounds: readonly number[],
): Scrambled<Tensor> {
  const number = ops.reshape(ops.toFloat(ops.range(count)), [1, count]);
  const high = quotient(ops, number);
  let left = ops.subtract(number, ops.multiply(high, prime));
  let right = modulo(ops, high);
  for (const round of rounds) {
    const sum = modulo(ops, ops.add(right, ops.slice(key, 0, round, 1)));
    // A cube and not a square, because x and -x have the same square.
    const cube = modulo(ops, ops.multiply(modulo(ops, ops.multiply(sum, sum)), sum));
    [left, right] = [right, modulo(ops, ops.add(left, cube))];
  }
  return [left, right];
}

/** Derives `count` numbers for each row or column from the scrambled ones, by a different mixture for each layer. */
function numbersOf<Tensor>(
  ops: Operations<Tensor>,
  [left, right]: Scrambled<Tensor>,
  count: number,
  random: Random,
  shape: readonly Dimension[],
): Tensor[] {
  const factors = () =>
    ops.constant(
      Float32Array.from({ length: count }, () => 1 + random.below(prime - 1)),
      [count, 1],
    );
  const mixed = ops.add(ops.multiply(left, factors()), ops.multiply(right, factors()));
  const numbers = modulo(ops, ops.add(mixed, factors()));
  return Array.from({ length: count }, (_, index) => ops.reshape(ops.slice(numbers, 0, index, 1), shape));
}

function modulo<Tensor>(ops: Operations<Tensor>, x: Tensor): Tensor {
  return ops.subtract(x, ops.multiply(quotient(ops, x), prime));
}

/**
 * Integer division by the prime. It is exact, because a quotient of integers below 2^24 never rounds up to the next
 * integer in float32.
 */
function quotient<Tensor>(ops: Operations<Tensor>, x: Tensor): Tensor {
  return ops.toFloat(ops.toIndex(ops.divide(x, prime)));
}
