// The gradient rule of each operation, in terms of the operations.
import { mean, negate } from '../derived-operations.ts';
import { productOf } from '../dimensions.ts';
import type {
  Dimension,
  MatrixProductOptions,
  Normalized,
  Operand,
  Operations,
  RowsOptions,
  Shape,
} from '../operations.ts';
import { reducedShape, resolveAxis, sameShape } from '../shapes.ts';

/** Maps the gradient of an operation's result to the gradient of one of its operands (a vector-Jacobian product). */
export type Pullback<T> = (gradient: T) => T;

/** The gradient of an operand of shape `shape` that was broadcast: sums over the axes along which it was repeated. */
function sumTo<T>(ops: Operations<T>, gradient: T, shape: Shape): T {
  const from = ops.shape(gradient);
  if (sameShape(from, shape)) return gradient;
  const added = from.length - shape.length;
  const axes = from
    .map((_, axis) => axis)
    .filter((axis) => axis < added || (shape[axis - added] === 1 && from[axis] !== 1));
  return ops.reshape(axes.length === 0 ? gradient : ops.sum(gradient, axes, true), shape);
}

/** Reshapes the result of a reduction (or its gradient) so that the reduced axes are present with the size 1. */
function restoreAxes<T>(ops: Operations<T>, reduced: T, shape: Shape, axes: readonly number[]): T {
  return ops.reshape(reduced, reducedShape(shape, axes, true));
}

// Operations that move entries

export function reshapeRule<T>(ops: Operations<T>, x: T): Pullback<T> {
  return (d) => ops.reshape(d, ops.shape(x));
}

export function transposeRule<T>(ops: Operations<T>, x: T, permutation: readonly number[]): Pullback<T> {
  const shape = ops.shape(x);
  const resolved = permutation.map((axis) => resolveAxis(shape, axis));
  return (d) =>
    ops.transpose(
      d,
      resolved.map((_, axis) => resolved.indexOf(axis)),
    );
}

export function broadcastToRule<T>(ops: Operations<T>, x: T): Pullback<T> {
  return (d) => sumTo(ops, d, ops.shape(x));
}

/** The pullback for the part that begins at `start` on `axis`. */
export function concatRule<T>(ops: Operations<T>, part: T, axis: number, start: Dimension): Pullback<T> {
  const shape = ops.shape(part);
  return (d) => ops.slice(d, axis, start, shape[resolveAxis(shape, axis)]!);
}

export function sliceRule<T>(ops: Operations<T>, x: T, axis: number, start: Dimension): Pullback<T> {
  const shape = ops.shape(x);
  return (d) => ops.pad(d, axis, start, shape[resolveAxis(shape, axis)]!);
}

export function padRule<T>(ops: Operations<T>, x: T, axis: number, start: Dimension): Pullback<T> {
  const shape = ops.shape(x);
  return (d) => ops.slice(d, axis, start, shape[resolveAxis(shape, axis)]!);
}

export function gatherRule<T>(ops: Operations<T>, table: T, indices: T, options: RowsOptions | undefined): Pullback<T> {
  return (d) => ops.scatterAdd(d, indices, ops.shape(table)[0]!, options);
}

export function scatterAddRule<T>(ops: Operations<T>, indices: T, options: RowsOptions | undefined): Pullback<T> {
  return (d) => ops.gather(d, indices, options);
}

// Element-wise operations with two operands: one pullback for each operand

type Pair<T> = readonly [Pullback<T>, Pullback<T>];

function shapeOf<T>(ops: Operations<T>, operand: Operand<T>): Shape {
  return typeof operand === 'number' ? [] : ops.shape(operand);
}

export function addRule<T>(ops: Operations<T>, a: Operand<T>, b: Operand<T>): Pair<T> {
  return [(d) => sumTo(ops, d, shapeOf(ops, a)), (d) => sumTo(ops, d, shapeOf(ops, b))];
}

export function subtractRule<T>(ops: Operations<T>, a: Operand<T>, b: Operand<T>): Pair<T> {
  return [(d) => sumTo(ops, d, shapeOf(ops, a)), (d) => negate(ops, sumTo(ops, d, shapeOf(ops, b)))];
}

export function multiplyRule<T>(ops: Operations<T>, a: Operand<T>, b: Operand<T>): Pair<T> {
  return [
    (d) => sumTo(ops, ops.multiply(d, b), shapeOf(ops, a)),
    (d) => sumTo(ops, ops.multiply(d, a), shapeOf(ops, b)),
  ];
}

export function divideRule<T>(ops: Operations<T>, a: Operand<T>, b: Operand<T>, quotient: T): Pair<T> {
  return [
    (d) => sumTo(ops, ops.divide(d, b), shapeOf(ops, a)),
    (d) => negate(ops, sumTo(ops, ops.divide(ops.multiply(d, quotient), b), shapeOf(ops, b))),
  ];
}

export function maximumRule<T>(ops: Operations<T>, a: Operand<T>, b: Operand<T>): Pair<T> {
  const share = (chosen: Operand<T>, other: Operand<T>): T =>
    ops.add(ops.greater(chosen, other), ops.multiply(ops.equal(chosen, other), 0.5));
  return [
    (d) => sumTo(ops, ops.multiply(d, share(a, b)), shapeOf(ops, a)),
    (d) => sumTo(ops, ops.multiply(d, share(b, a)), shapeOf(ops, b)),
  ];
}

export function whereRule<T>(ops: Operations<T>, condition: T, a: Operand<T>, b: Operand<T>): Pair<T> {
  return [
    (d) => sumTo(ops, ops.where(condition, d, 0), shapeOf(ops, a)),
    (d) => sumTo(ops, ops.where(condition, 0, d), shapeOf(ops, b)),
  ];
}

// Element-wise operations with one operand; `y` is the result

export function expRule<T>(ops: Operations<T>, y: T): Pullback<T> {
  return (d) => ops.multiply(d, y);
}

export function logRule<T>(ops: Operations<T>, x: T): Pullback<T> {
  return (d) => ops.divide(d, x);
}

export function sqrtRule<T>(ops: Operations<T>, y: T): Pullback<T> {
  return (d) => ops.divide(ops.multiply(d, 0.5), y);
}

export function tanhRule<T>(ops: Operations<T>, y: T): Pullback<T> {
  return (d) => ops.multiply(d, ops.subtract(1, ops.multiply(y, y)));
}

export function sigmoidRule<T>(ops: Operations<T>, y: T): Pullback<T> {
  return (d) => ops.multiply(d, ops.multiply(y, ops.subtract(1, y)));
}

export function erfRule<T>(ops: Operations<T>, x: T): Pullback<T> {
  return (d) => ops.multiply(d, ops.multiply(ops.exp(negate(ops, ops.multiply(x, x))), 2 / Math.sqrt(Math.PI)));
}

export function reluRule<T>(ops: Operations<T>, y: T): Pullback<T> {
  return (d) => ops.multiply(d, ops.greater(y, 0));
}

/**
 * Φ(x) + x · φ(x), with the cumulative distribution Φ and the density φ of the standard normal distribution; with u = x
 * / √2 that is (1 + erf(u) + u · 2/√π · exp(-u²)) / 2. The rule multiplies by 1/√2, whereas the forward pass divides by
 * √2. With the same node in both passes, a runtime would keep its result for the backward pass and could not fuse the
 * nodes of GELU into one kernel.
 */
export function geluRule<T>(ops: Operations<T>, x: T): Pullback<T> {
  return (d) => {
    const u = ops.multiply(x, Math.SQRT1_2);
    const cumulative = ops.add(ops.erf(u), 1);
    const density = ops.exp(ops.subtract(Math.log(2 / Math.sqrt(Math.PI)), ops.multiply(u, u)));
    return ops.multiply(d, ops.multiply(ops.add(cumulative, ops.multiply(u, density)), 0.5));
  };
}

// Reductions

export function sumRule<T>(ops: Operations<T>, x: T, axes: readonly number[]): Pullback<T> {
  const shape = ops.shape(x);
  return (d) => ops.broadcastTo(restoreAxes(ops, d, shape, axes), shape);
}

export function maxRule<T>(ops: Operations<T>, x: T, axes: readonly number[], y: T): Pullback<T> {
  const shape = ops.shape(x);
  return (d) => {
    const largest = ops.equal(x, restoreAxes(ops, y, shape, axes));
    return ops.multiply(largest, ops.divide(restoreAxes(ops, d, shape, axes), ops.sum(largest, axes, true)));
  };
}

export function logSumExpRule<T>(ops: Operations<T>, x: T, axes: readonly number[], y: T): Pullback<T> {
  const shape = ops.shape(x);
  const restore = (reduced: T): T => restoreAxes(ops, reduced, shape, axes);
  return (d) => ops.multiply(restore(d), ops.exp(ops.subtract(x, restore(y))));
}

export function cumulativeSumRule<T>(ops: Operations<T>, axis: number): Pullback<T> {
  return (d) => ops.add(ops.subtract(ops.sum(d, [axis], true), ops.cumulativeSum(d, axis)), d);
}

// Layers

export function softmaxRule<T>(ops: Operations<T>, y: T): Pullback<T> {
  return (d) => ops.multiply(y, ops.subtract(d, ops.sum(ops.multiply(d, y), [-1], true)));
}

export function matmulRule<T>(ops: Operations<T>, a: T, b: T, options: MatrixProductOptions = {}): Pair<T> {
  const { transposeLeft = false, transposeRight = false } = options;
  return [
    (d) =>
      transposeLeft
        ? ops.matmul(b, d, { transposeLeft: transposeRight, transposeRight: true })
        : ops.matmul(d, b, { transposeRight: !transposeRight }),
    (d) =>
      transposeRight
        ? ops.matmul(d, a, { transposeLeft: true, transposeRight: transposeLeft })
        : ops.matmul(a, d, { transposeLeft: !transposeLeft }),
  ];
}

/** The pullbacks to input, weight and bias. */
export function linearRule<T>(ops: Operations<T>, x: T, weight: T): readonly [Pullback<T>, Pullback<T>, Pullback<T>] {
  const rows = (tensor: T): T => {
    const shape = ops.shape(tensor);
    return ops.reshape(tensor, [productOf(shape.slice(0, -1)), shape.at(-1)!]);
  };
  return [
    (d) => ops.reshape(ops.matmul(rows(d), weight), ops.shape(x)),
    (d) => ops.matmul(rows(d), rows(x), { transposeLeft: true }),
    (d) => ops.sum(rows(d), [0]),
  ];
}

/** The pullbacks from the normalized output to input, weight and bias. */
export function layerNormRule<T>(
  ops: Operations<T>,
  x: T,
  weight: T,
  { mean: center, inverseDeviation }: Normalized<T>,
): readonly [Pullback<T>, Pullback<T>, Pullback<T>] {
  const standardized = (): T => ops.multiply(ops.subtract(x, center), inverseDeviation);
  return [
    (d) => {
      const direct = ops.multiply(d, weight);
      const z = standardized();
      const throughMean = mean(ops, direct, [-1], true);
      const throughDeviation = ops.multiply(z, mean(ops, ops.multiply(direct, z), [-1], true));
      return ops.multiply(inverseDeviation, ops.subtract(ops.subtract(direct, throughMean), throughDeviation));
    },
    (d) => sumTo(ops, ops.multiply(d, standardized()), ops.shape(weight)),
    (d) => sumTo(ops, d, ops.shape(weight)),
  ];
}

/** The pullbacks to input and weight. */
export function rmsNormRule<T>(ops: Operations<T>, x: T, weight: T, epsilon: number): Pair<T> {
  const inverse = (): T => ops.divide(1, ops.sqrt(ops.add(mean(ops, ops.multiply(x, x), [-1], true), epsilon)));
  return [
    (d) => {
      const direct = ops.multiply(d, weight);
      const scale = inverse();
      const z = ops.multiply(x, scale);
      const throughScale = ops.multiply(z, mean(ops, ops.multiply(direct, z), [-1], true));
      return ops.multiply(scale, ops.subtract(direct, throughScale));
    },
    (d) => sumTo(ops, ops.multiply(d, ops.multiply(x, inverse())), ops.shape(weight)),
  ];
}

/** The pullback of a rotation is the rotation by the negative angles. */
export function rotateRule<T>(ops: Operations<T>, cosines: T, sines: T): Pullback<T> {
  return (d) => ops.rotate(d, cosines, negate(ops, sines));
}

/** The pullbacks from the mean and the inverse deviation of a layer normalization to its input. */
export function statisticsRule<T>(
  ops: Operations<T>,
  x: T,
  { mean: center, inverseDeviation }: Normalized<T>,
): { readonly mean: Pullback<T>; readonly inverseDeviation: Pullback<T> } {
  const width = ops.size(ops.shape(x).at(-1)!);
  const cube = (): T => ops.multiply(ops.multiply(inverseDeviation, inverseDeviation), inverseDeviation);
  return {
    mean: (d) => ops.broadcastTo(ops.divide(d, width), ops.shape(x)),
    inverseDeviation: (d) =>
      negate(ops, ops.multiply(ops.divide(ops.multiply(d, cube()), width), ops.subtract(x, center))),
  };
}
