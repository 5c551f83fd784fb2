// The shapes of the results of operations, and errors for operands with wrong shapes. All interpreters share them.
import { productOf } from './dimensions.ts';
import type { Dimension, Shape } from './operations.ts';

/** A shape in the form for messages, such as `[batch, 128]`. */
function describeShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/**
 * Converts a negative axis to one that counts from 0.
 * @throws Error if `shape` has no such axis
 */
export function resolveAxis(shape: Shape, axis: number): number {
  const resolved = axis < 0 ? axis + shape.length : axis;
  if (Number.isInteger(resolved) && resolved >= 0 && resolved < shape.length) return resolved;
  throw new Error(`There is no axis ${axis} in ${describeShape(shape)}.`);
}

/**
 * Converts axes to distinct axes that count from 0, in ascending order.
 * @throws Error if the list is empty or an axis does not exist
 */
export function resolveAxes(shape: Shape, axes: readonly number[]): readonly number[] {
  if (axes.length === 0) throw new Error(`At least one axis of ${describeShape(shape)} is required.`);
  return [...new Set(axes.map((axis) => resolveAxis(shape, axis)))].sort((a, b) => a - b);
}

/** `shape` without `axes`, or with the size 1 for them if `keepAxes` is true. */
export function reducedShape(shape: Shape, axes: readonly number[], keepAxes: boolean): Shape {
  const resolved = resolveAxes(shape, axes);
  return keepAxes
    ? shape.map((size, axis) => (resolved.includes(axis) ? 1 : size))
    : shape.filter((_, axis) => !resolved.includes(axis));
}

/** `shape` with another size of one axis. */
export function withSize(shape: Shape, axis: number, size: Dimension): Shape {
  const resolved = resolveAxis(shape, axis);
  return shape.map((old, index) => (index === resolved ? size : old));
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/**
 * The shape to which operands broadcast by the rules of NumPy.
 * @throws Error if they cannot be broadcast
 */
export function broadcastShapes(operation: string, ...shapes: readonly Shape[]): Shape {
  const length = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - length + shape.length] ?? 1);
    const size = sizes.find((candidate) => candidate !== 1) ?? 1;
    if (sizes.every((candidate) => candidate === 1 || candidate === size)) return size;
    throw new Error(`${operation}: shapes ${shapes.map(describeShape).join(' and ')} are incompatible.`);
  });
}

/** @throws Error if `from` cannot be broadcast to `to` */
export function checkBroadcast(from: Shape, to: Shape): void {
  if (!sameShape(broadcastShapes('broadcastTo', from, to), to)) {
    throw new Error(`broadcastTo: ${describeShape(from)} cannot become ${describeShape(to)}.`);
  }
}

/** @throws Error if the number of entries of a constant does not match its shape */
export function checkConstant({ length }: ArrayLike<number>, shape: Shape): void {
  if (length !== productOf(shape)) throw new Error(`constant: ${length} numbers do not fill ${describeShape(shape)}.`);
}

/** @throws Error if the two shapes have different numbers of entries */
export function checkReshape(from: Shape, to: Shape): void {
  if (productOf(from) !== productOf(to))
    throw new Error(`reshape: ${describeShape(from)} cannot become ${describeShape(to)}.`);
}

/**
 * The shape of a transpose.
 * @throws Error if `permutation` is not a permutation of the axes
 */
export function transposedShape(shape: Shape, permutation: readonly number[]): Shape {
  const named = new Set(permutation);
  if (permutation.length !== shape.length || named.size !== shape.length) {
    throw new Error(
      `transpose: [${permutation.join(', ')}] is not a permutation of the axes of ${describeShape(shape)}.`,
    );
  }
  return permutation.map((axis) => shape[resolveAxis(shape, axis)]!);
}

/**
 * The shape of a matrix product.
 * @throws Error if the operands are incompatible
 */
export function matmulShape(a: Shape, b: Shape, transposeLeft: boolean, transposeRight: boolean): Shape {
  const [rows, inner] = lastTwo(a, transposeLeft);
  const [innerRight, cols] = lastTwo(b, transposeRight);
  const outer = a.slice(0, -2);
  if (a.length < 2 || a.length !== b.length || inner !== innerRight || !sameShape(outer, b.slice(0, -2))) {
    throw new Error(`matmul: ${describeShape(a)} and ${describeShape(b)} are incompatible.`);
  }
  return [...outer, rows!, cols!];
}

function lastTwo(shape: Shape, transpose: boolean): Shape {
  const [rows, cols] = shape.slice(-2);
  return transpose ? [cols!, rows!] : [rows!, cols!];
}

/**
 * The shape of the result of a linear layer.
 * @throws Error if the operands are incompatible
 */
export function linearShape(x: Shape, weight: Shape, bias: Shape | undefined): Shape {
  const [outputs, inputs] = weight;
  const fits =
    weight.length === 2 && x.length >= 2 && x.at(-1) === inputs && (bias === undefined || sameShape(bias, [outputs!]));
  if (fits) return withSize(x, -1, outputs!);
  const shapes = [x, weight, ...(bias === undefined ? [] : [bias])].map(describeShape);
  throw new Error(`linear: ${shapes.join(', ')} are incompatible.`);
}

/** @throws Error if the weights of a normalization do not have the last size of `x` */
export function checkNorm(operation: string, x: Shape, ...weights: readonly (Shape | undefined)[]): void {
  const given = weights.filter((weight) => weight !== undefined);
  if (x.length > 0 && given.every((weight) => sameShape(weight, x.slice(-1)))) return;
  throw new Error(`${operation}: ${[x, ...given].map(describeShape).join(', ')} are incompatible.`);
}

/**
 * The shape of one half of `x` along the last axis, as `rotate` pairs them.
 * @throws Error if `x` and the angles are incompatible
 */
export function halfShape(x: Shape, cosines: Shape, sines: Shape): Shape {
  const width = x.at(-1);
  if (typeof width === 'number' && width % 2 === 0 && sameShape(cosines, sines)) {
    const half = withSize(x, -1, width / 2);
    if (cosines.at(-1) === width / 2 && sameShape(broadcastShapes('rotate', half, cosines), half)) return half;
  }
  throw new Error(`rotate: ${[x, cosines, sines].map(describeShape).join(', ')} are incompatible.`);
}

/**
 * The shape of the result of `scatterAdd`.
 * @throws Error if rows and indices are incompatible
 */
export function scatterShape(rows: Shape, indices: Shape, size: Dimension): Shape {
  if (!sameShape(rows.slice(0, indices.length), indices)) {
    throw new Error(
      `scatterAdd: rows ${describeShape(rows)} do not begin with the shape ${describeShape(indices)} of their indices.`,
    );
  }
  return [size, ...rows.slice(indices.length)];
}

/**
 * Checks the shapes of a concatenation.
 * @throws Error if they are incompatible
 */
export function checkConcat(shapes: readonly Shape[], axis: number): void {
  const [first] = shapes;
  if (first === undefined) throw new Error('concat: at least one tensor is required.');
  const fits = shapes.every(
    (shape) => shape.length === first.length && sameShape(withSize(shape, axis, 0), withSize(first, axis, 0)),
  );
  if (!fits)
    throw new Error(`concat: shapes ${shapes.map(describeShape).join(', ')} are incompatible along axis ${axis}.`);
}
