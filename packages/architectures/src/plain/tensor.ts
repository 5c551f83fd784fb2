// The tensors of the interpreter in plain TypeScript, and how their entries are walked through.
import type { Shape } from '../operations.ts';

/**
 * A tensor in memory, row-major. Floats are Float64Array, or Float32Array where they are read from a file; indices are
 * Int32Array.
 */
export interface PlainTensor {
  readonly data: Float64Array | Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** A tensor of numbers, copied into float64. @throws Error when `data` does not have the shape's number of entries */
export function plainTensor(data: ArrayLike<number>, shape: readonly number[]): PlainTensor {
  if (data.length !== entries(shape)) throw new Error(`${data.length} numbers do not fill [${shape.join(', ')}].`);
  return { data: Float64Array.from(data), shape };
}

/** A tensor of indices. @throws Error when `data` does not have the shape's number of entries */
export function plainIndices(data: ArrayLike<number>, shape: readonly number[]): PlainTensor {
  if (data.length !== entries(shape)) throw new Error(`${data.length} indices do not fill [${shape.join(', ')}].`);
  return { data: Int32Array.from(data), shape };
}

/** How many entries a tensor of that shape has. */
export function entries(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A shape as numbers. @throws Error when it has a named size: this interpreter computes at once */
export function numericShape(shape: Shape): readonly number[] {
  return shape.map((size) => {
    if (typeof size === 'number') return size;
    throw new Error(`The size "${size}" has no value here.`);
  });
}

/** For each axis, how far apart neighbours are in row-major order. */
export function strides(shape: readonly number[]): number[] {
  const result = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis -= 1) result[axis] = result[axis + 1]! * shape[axis + 1]!;
  return result;
}

/** The strides with which `from` is read when it is broadcast to `to`: 0 along the axes that repeat. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const own = strides(from);
  const offset = to.length - from.length;
  return to.map((_, axis) => (axis < offset || from[axis - offset] === 1 ? 0 : own[axis - offset]!));
}

/** Calls `visit` with the offset of each entry of `shape`, in row-major order, when read with `steps` as strides. */
export function walk(
  shape: readonly number[],
  steps: readonly number[],
  visit: (offset: number, position: number) => void,
): void {
  const total = entries(shape);
  const counters = shape.map(() => 0);
  let offset = 0;
  for (let position = 0; position < total; position += 1) {
    visit(offset, position);
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      offset += steps[axis]!;
      if (++counters[axis]! < shape[axis]!) break;
      offset -= steps[axis]! * shape[axis]!;
      counters[axis] = 0;
    }
  }
}
