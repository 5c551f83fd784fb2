import { productOf, type Operations } from '@sentvec/architectures';

/**
 * Dropout over the tensor operations: each entry is 0 with probability `rate`, else divided by `1 - rate`. Which ones
 * is decided by a hash of the entry's number, the place in the network and the seed, so that a run can be repeated and
 * a recorded graph needs one number as input. The hash is arithmetic on floats in [0, 1), mixed as in Hoskins' "Hash
 * without Sine" (2014).
 *
 * @param seed shape `[]`, a number in [0, 1) that differs from step to step
 */
export function seededDropout<Tensor>(ops: Operations<Tensor>, seed: Tensor): (x: Tensor, rate: number) => Tensor {
  let place = 0;
  return (x, rate) => {
    place += 1;
    const noise = noiseOf(ops, x, ops.add(seed, place * 0.618_033_988_75));
    const kept = ops.multiply(ops.greater(noise, rate), 1 / (1 - rate));
    return ops.multiply(x, kept);
  };
}

/** The seed of a step as {@link seededDropout} takes it: in [0, 1), far apart for neighbouring steps. */
export function dropoutSeed(step: number): number {
  const spread = step * 0.754_877_666_246_692_8;
  return spread - Math.floor(spread);
}

/** Uniform in [0, 1), in the shape of `x`. */
function noiseOf<Tensor>(ops: Operations<Tensor>, x: Tensor, seed: Tensor): Tensor {
  const shape = ops.shape(x);
  const columns = shape.at(-1)!;
  const rows = productOf(shape.slice(0, -1));
  // Rows and columns are hashed apart first: their numbers stay small enough to be exact in float32.
  const row = hash(ops, ops.add(ops.multiply(ops.reshape(ops.toFloat(ops.range(rows)), [rows, 1]), 0.1031), seed));
  const column = hash(
    ops,
    ops.add(ops.multiply(ops.reshape(ops.toFloat(ops.range(columns)), [1, columns]), 0.103), seed),
  );
  const mixed = fraction(
    ops,
    ops.multiply(ops.add(row, ops.add(column, 33.33)), ops.add(ops.multiply(column, 17.7), ops.multiply(row, 91.3))),
  );
  return ops.reshape(hash(ops, mixed), shape);
}

function hash<Tensor>(ops: Operations<Tensor>, x: Tensor): Tensor {
  const p = fraction(ops, x);
  const q = ops.multiply(p, ops.add(p, 33.33));
  return fraction(ops, ops.multiply(q, ops.add(q, q)));
}

/** The part of a number that is not negative behind its point. */
function fraction<Tensor>(ops: Operations<Tensor>, x: Tensor): Tensor {
  return ops.subtract(x, ops.toFloat(ops.toIndex(x)));
}
