// Dropout whose masks are computed by the tensor operations themselves, from a key, the same on every engine.
import { productOf, type Dimension, type Operations } from '@sentvec/architectures';
import { Random } from '../random.ts';

/**
 * The masks are made of whole numbers below this prime. All products and sums of them that occur below stay under 2^24,
 * so that float32 holds them exactly and every runtime finds the same masks.
 */
const prime = 2039;

/** Whole numbers of a key. */
export const dropoutKeySize = 4;

/**
 * The key of the masks of a part of a batch, for {@link keyedDropout}: the same for the same numbers, unrelated for
 * others. The two passes of cached gradients drop the same entries because they have the same key.
 * @param seed of the step
 * @param batch number of the batch in the step
 * @param part number of the part in the batch
 */
export function dropoutKey(seed: number, batch: number, part: number): Float32Array {
  const random = new Random(new Random(new Random(seed).integer(), batch).integer(), part);
  return Float32Array.from({ length: dropoutKeySize }, () => random.below(prime));
}

/**
 * Dropout over the tensor operations: each entry is 0 with probability `rate`, else divided by `1 - rate`. Which ones
 * is decided by a hash of the entry's row and column, the layer, and the key, so that a run can be repeated and a
 * recorded graph needs no more input than the key. `rate` is rounded to the next of 2039 steps.
 *
 * Row and column are scrambled apart, by four rounds of a Feistel network over numbers modulo a prime with the key, and
 * from there give five and three numbers for each layer. Row numbers r and column numbers c meet in
 * u = r₁c₁ + r₂c₂ + r₃ and v = u² + r₄c₃ + r₅, which decides.
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
 * The numbers 0 to `count - 1`, scrambled with the key. No two are equal below 2039².
 * @param rounds which number of the key each round takes
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
    // Not the square, which would be the same for a number and its opposite.
    const cube = modulo(ops, ops.multiply(modulo(ops, ops.multiply(sum, sum)), sum));
    [left, right] = [right, modulo(ops, ops.add(left, cube))];
  }
  return [left, right];
}

/** So many numbers for each row or column, of another mixture of the scrambled ones for each layer. */
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
 * How often the prime is contained. Exact, since a quotient of whole numbers below 2^24 never rounds up to the next
 * whole number.
 */
function quotient<Tensor>(ops: Operations<Tensor>, x: Tensor): Tensor {
  return ops.toFloat(ops.toIndex(ops.divide(x, prime)));
}
