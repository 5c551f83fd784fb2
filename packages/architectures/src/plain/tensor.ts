// The tensors of the interpreter in plain TypeScript, and iteration over their entries.
import type { Shape } from '../operations.ts';

/**
 * A tensor in memory, row-major. Floats are a Float64Array, or a Float32Array if they are read from a file; indices are
 * an Int32Array.
 */
export interface PlainTensor {
  readonly data: Float64Array | Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** The array type of results, which determines their precision. */
export type FloatArrays = Float64ArrayConstructor | Float32ArrayConstructor;

/** An array of zeros of the type of another array. */
export function zerosLike({ data }: PlainTensor, length: number): PlainTensor['data'] {
  if (data instanceof Int32Array) return new Int32Array(length);
  return data instanceof Float32Array ? new Float32Array(length) : new Float64Array(length);
}

/**
 * Makes a tensor of floats, which are copied to float64.
 * @throws Error if the length of `data` does not match the shape
 */
export function plainTensor(data: ArrayLike<number>, shape: readonly number[]): PlainTensor {
  if (data.length !== entries(shape)) throw new Error(`${data.length} numbers do not fill [${shape.join(', ')}].`);
  return { data: Float64Array.from(data), shape };
}

/**
 * Makes a tensor of indices.
 * @throws Error if the length of `data` does not match the shape
 */
export function plainIndices(data: ArrayLike<number>, shape: readonly number[]): PlainTensor {
  if (data.length !== entries(shape)) throw new Error(`${data.length} indices do not fill [${shape.join(', ')}].`);
  return { data: Int32Array.from(data), shape };
}

/** The number of entries of a tensor of this shape. */
export function entries(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * A shape as numbers.
 * @throws Error for a named size, which has no value in this interpreter
 */
export function numericShape(shape: Shape): readonly number[] {
  return shape.map((size) => {
    if (typeof size === 'number') return size;
    throw new Error(`The size "${size}" has no value here.`);
  });
}

/** The strides of each axis in row-major order, in entries. */
export function strides(shape: readonly number[]): number[] {
  const result = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis -= 1) result[axis] = result[axis + 1]! * shape[axis + 1]!;
  return result;
}

/** The strides of a tensor of shape `from` that is broadcast to `to`: 0 along repeated axes. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const own = strides(from);
  const offset = to.length - from.length;
  return to.map((_, axis) => (axis < offset || from[axis - offset] === 1 ? 0 : own[axis - offset]!));
}

/** `count` successive entries along the last axis, starting at `position`. They are read at `offset`, `offset + step`, … */
export interface Run {
  readonly offset: number;
  readonly position: number;
  readonly count: number;
  readonly step: number;
}

/** Calls `visit` for each run of `shape` in row-major order, with the offsets for the strides `steps`. */
export function walk(shape: readonly number[], steps: readonly number[], visit: (run: Run) => void): void {
  const total = entries(shape);
  const [count, step] = [shape.at(-1) ?? 1, steps.at(-1) ?? 0];
  const counters = shape.map(() => 0);
  let offset = 0;
  for (let position = 0; position < total; position += count) {
    visit({ offset, position, count, step });
    for (let axis = shape.length - 2; axis >= 0; axis -= 1) {
      offset += steps[axis]!;
      if (++counters[axis]! < shape[axis]!) break;
      offset -= steps[axis]! * shape[axis]!;
      counters[axis] = 0;
    }
  }
}
