// Operations that are composed of those in `Operations`: mean, minimum, softplus, log-softmax, attention in blocks.
import { productOf } from './dimensions.ts';
import type { Operand, Operations } from './operations.ts';
import { resolveAxes } from './shapes.ts';

/** The mean over `axes`, which are removed, or kept with the size 1 if `keepAxes` is true. */
export function mean<T>(ops: Operations<T>, x: T, axes: readonly number[], keepAxes = false): T {
  const shape = ops.shape(x);
  const count = productOf(resolveAxes(shape, axes).map((axis) => shape[axis]!));
  const total = ops.sum(x, axes, keepAxes);
  return typeof count === 'number' ? ops.multiply(total, 1 / count) : ops.divide(total, ops.size(count));
}

/** The element-wise minimum, with broadcasting. */
export function minimum<T>(ops: Operations<T>, a: Operand<T>, b: Operand<T>): T {
  return negate(ops, ops.maximum(negateOperand(ops, a), negateOperand(ops, b)));
}

function negateOperand<T>(ops: Operations<T>, x: Operand<T>): Operand<T> {
  return typeof x === 'number' ? -x : negate(ops, x);
}

/** -x */
export function negate<T>(ops: Operations<T>, x: T): T {
  return ops.multiply(x, -1);
}

/** |x|, with gradient 0 at 0. */
export function absolute<T>(ops: Operations<T>, x: T): T {
  return ops.maximum(x, negate(ops, x));
}

/** log(1 + exp(x)), without overflow. */
export function softplus<T>(ops: Operations<T>, x: T): T {
  // `maximum` instead of `relu`: at 0 its gradient is 0.5, as that of softplus; the gradient of `relu` is 0.
  return ops.add(ops.maximum(x, 0), ops.log(ops.add(ops.exp(negate(ops, absolute(ops, x))), 1)));
}

/** log(softmax(x)) along the last axis. */
export function logSoftmax<T>(ops: Operations<T>, x: T): T {
  return ops.subtract(x, ops.logSumExp(x, [-1], true));
}

/**
 * `x` divided by its Euclidean norm along the last axis, or by `smallest` if the norm is below it.
 * @param smallest default: 1e-12, as in `torch.nn.functional.normalize`
 */
export function normalizeRows<T>(ops: Operations<T>, x: T, smallest = 1e-12): T {
  const squares = ops.sum(ops.multiply(x, x), [-1], true);
  return ops.divide(x, ops.sqrt(ops.maximum(squares, smallest ** 2)));
}

/** The number of queries in a block of attention. Smaller blocks are slower, larger ones are not faster. */
export const attentionBlock = 128;

/** `Operations.attention`, computed for one block of queries after the other. */
export function attentionInBlocks<T>(ops: Operations<T>, queries: T, keys: T, values: T): T {
  const transposedKeys = ops.transpose(keys, [0, 1, 3, 2]);
  return ops.inBlocks(ops.shape(queries)[2]!, { size: attentionBlock }, 2, ({ start, size }) =>
    ops.matmul(ops.softmax(ops.matmul(ops.slice(queries, 2, start, size), transposedKeys)), values),
  );
}
