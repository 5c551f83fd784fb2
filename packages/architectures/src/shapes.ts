// The shapes that operations give, and the errors for operands that do not fit: shared by all interpreters.
import { productOf } from './dimensions.ts';
import type { Dimension, Shape } from './operations.ts';

/** A shape for a message: `[batch, 128]`. */
function describeShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** `axis`, counted from the front. @throws Error when `shape` has no such axis */
export function resolveAxis(shape: Shape, axis: number): number {
  const resolved = axis < 0 ? axis + shape.length : axis;
  if (Number.isInteger(resolved) && resolved >= 0 && resolved < shape.length) return resolved;
  throw new Error(`There is no axis ${axis} in ${describeShape(shape)}.`);
}

/** `axes`, counted from the front, ascending, each once. @throws Error when there is none, or one does not exist */
export function resolveAxes(shape: Shape, axes: readonly number[]): readonly number[] {
  if (axes.length === 0) throw new Error(`No axis of ${describeShape(shape)} was named.`);
  return [...new Set(axes.map((axis) => resolveAxis(shape, axis)))].sort((a, b) => a - b);
}

/** `shape` without `axes`, or with 1 as their sizes. */
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

/** What an operation of several operands gives, by the rules of NumPy. @throws Error when they do not fit */
export function broadcastShapes(operation: string, ...shapes: readonly Shape[]): Shape {
  const length = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - length + shape.length] ?? 1);
    const size = sizes.find((candidate) => candidate !== 1) ?? 1;
    if (sizes.every((candidate) => candidate === 1 || candidate === size)) return size;
    throw new Error(`${operation}: shapes ${shapes.map(describeShape).join(' and ')} do not fit together.`);
  });
}

/** @throws Error when `from` cannot be repeated to `to` */
export function checkBroadcast(from: Shape, to: Shape): void {
  if (!sameShape(broadcastShapes('broadcastTo', from, to), to)) {
    throw new Error(`broadcastTo: ${describeShape(from)} cannot become ${describeShape(to)}.`);
  }
}

/** @throws Error when a constant does not have as many numbers as its shape */
export function checkConstant({ length }: ArrayLike<number>, shape: Shape): void {
  if (length !== productOf(shape)) throw new Error(`constant: ${length} numbers do not fill ${describeShape(shape)}.`);
}

/** @throws Error when the two shapes hold different numbers of entries */
export function checkReshape(from: Shape, to: Shape): void {
  if (productOf(from) !== productOf(to))
    throw new Error(`reshape: ${describeShape(from)} cannot become ${describeShape(to)}.`);
}

/** `shape` with its axes in another order. @throws Error when `permutation` does not name each axis once */
export function transposedShape(shape: Shape, permutation: readonly number[]): Shape {
  const named = new Set(permutation);
  if (permutation.length !== shape.length || named.size !== shape.length) {
    throw new Error(`transpose: [${permutation.join(', ')}] is not an order of the axes of ${describeShape(shape)}.`);
  }
  return permutation.map((axis) => shape[resolveAxis(shape, axis)]!);
}

/** The shape of a matrix product. @throws Error when the operands do not fit */
export function matmulShape(a: Shape, b: Shape, transposeLeft: boolean, transposeRight: boolean): Shape {
  const [rows, inner] = lastTwo(a, transposeLeft);
  const [innerRight, cols] = lastTwo(b, transposeRight);
  const outer = a.slice(0, -2);
  if (a.length < 2 || a.length !== b.length || inner !== innerRight || !sameShape(outer, b.slice(0, -2))) {
    throw new Error(`matmul: ${describeShape(a)} and ${describeShape(b)} do not fit together.`);
  }
  return [...outer, rows!, cols!];
}

function lastTwo(shape: Shape, transpose: boolean): Shape {
  const [rows, cols] = shape.slice(-2);
  return transpose ? [cols!, rows!] : [rows!, cols!];
}

/** The shape of a linear layer's result. @throws Error when the operands do not fit */
export function linearShape(x: Shape, weight: Shape, bias: Shape | undefined): Shape {
  const [outputs, inputs] = weight;
  const fits =
    weight.length === 2 && x.length >= 2 && x.at(-1) === inputs && (bias === undefined || sameShape(bias, [outputs!]));
  if (fits) return withSize(x, -1, outputs!);
  const shapes = [x, weight, ...(bias === undefined ? [] : [bias])].map(describeShape);
  throw new Error(`linear: ${shapes.join(', ')} do not fit together.`);
}

/** @throws Error when the weights of a normalization do not have the last size of `x` */
export function checkNorm(operation: string, x: Shape, ...weights: readonly (Shape | undefined)[]): void {
  const given = weights.filter((weight) => weight !== undefined);
  if (x.length > 0 && given.every((weight) => sameShape(weight, x.slice(-1)))) return;
  throw new Error(`${operation}: ${[x, ...given].map(describeShape).join(', ')} do not fit together.`);
}

/** The shape of half of `x`, which `rotate` turns into the other half. @throws Error when the angles do not fit */
export function halfShape(x: Shape, cosines: Shape, sines: Shape): Shape {
  const width = x.at(-1);
  if (typeof width === 'number' && width % 2 === 0 && sameShape(cosines, sines)) {
    const half = withSize(x, -1, width / 2);
    if (cosines.at(-1) === width / 2 && sameShape(broadcastShapes('rotate', half, cosines), half)) return half;
  }
  throw new Error(`rotate: ${[x, cosines, sines].map(describeShape).join(', ')} do not fit together.`);
}

/** The shape of `scatterAdd`'s result. @throws Error when rows and indices do not fit */
export function scatterShape(rows: Shape, indices: Shape, size: Dimension): Shape {
  if (!sameShape(rows.slice(0, indices.length), indices)) {
    throw new Error(
      `scatterAdd: rows ${describeShape(rows)} do not begin with the shape ${describeShape(indices)} of their indices.`,
    );
  }
  return [size, ...rows.slice(indices.length)];
}

/** The shape of a concatenation. @throws Error when the parts do not fit */
export function checkConcat(shapes: readonly Shape[], axis: number): void {
  const [first] = shapes;
  if (first === undefined) throw new Error('concat: no parts.');
  const fits = shapes.every(
    (shape) => shape.length === first.length && sameShape(withSize(shape, axis, 0), withSize(first, axis, 0)),
  );
  if (!fits)
    throw new Error(`concat: shapes ${shapes.map(describeShape).join(', ')} do not fit together along axis ${axis}.`);
}
