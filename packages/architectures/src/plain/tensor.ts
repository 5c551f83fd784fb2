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

/** The arrays of computed floats: they decide in which precision results are kept. */
export type FloatArrays = Float64ArrayConstructor | Float32ArrayConstructor;

/** An array of zeros, of the type that another one has. */
export function zerosLike({ data }: PlainTensor, length: number): PlainTensor['data'] {
  if (data instanceof Int32Array) return new Int32Array(length);
  return data instanceof Float32Array ? new Float32Array(length) : new Float64Array(length);
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

/** A run of entries along the last axis: `count` of them at `position`, …, read at `offset`, `offset + step`, … */
export interface Run {
  readonly offset: number;
  readonly position: number;
  readonly count: number;
  readonly step: number;
}

/** Calls `visit` with each run of `shape`, in row-major order, when it is read with `steps` as strides. */
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
