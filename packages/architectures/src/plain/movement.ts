// Operations that move entries without changing them, in plain TypeScript.
import type { MovementOperations } from '../operations.ts';
import { sumOf } from '../dimensions.ts';
import {
  checkBroadcast,
  checkConcat,
  checkReshape,
  resolveAxis,
  scatterShape,
  transposedShape,
  withSize,
} from '../shapes.ts';
import { broadcastData } from './elementwise.ts';
import { entries, numericShape, type PlainTensor, strides, walk, zerosLike } from './tensor.ts';

/** The numbers of entries before, along and after an axis: `outer`, `size`, `inner`. */
function blocks(shape: readonly number[], axis: number): { outer: number; size: number; inner: number } {
  const at = resolveAxis(shape, axis);
  return { outer: entries(shape.slice(0, at)), size: shape[at]!, inner: entries(shape.slice(at + 1)) };
}

/** Copies `length` entries along the axis, from `from` in `source` to `to` in `target`. */
function copyAlong(
  source: PlainTensor,
  target: PlainTensor,
  axis: number,
  from: number,
  to: number,
  length: number,
): void {
  const read = blocks(source.shape, axis);
  const write = blocks(target.shape, axis);
  for (let block = 0; block < read.outer; block += 1) {
    const start = (block * read.size + from) * read.inner;
    target.data.set(source.data.subarray(start, start + length * read.inner), (block * write.size + to) * write.inner);
  }
}

function row(indices: PlainTensor, position: number, rows: number): number {
  const index = indices.data[position]!;
  if (index >= 0 && index < rows) return index;
  throw new Error(`Row ${index} does not exist: there are ${rows} rows.`);
}

export const movement: MovementOperations<PlainTensor> = {
  reshape(x, shape) {
    checkReshape(x.shape, shape);
    return { data: x.data, shape: numericShape(shape) };
  },

  transpose(x, permutation) {
    const shape = numericShape(transposedShape(x.shape, permutation));
    const own = strides(x.shape);
    const data = zerosLike(x, x.data.length);
    const steps = permutation.map((axis) => own[resolveAxis(x.shape, axis)]!);
    walk(shape, steps, ({ offset, position, count, step }) => {
      for (let i = 0; i < count; i += 1) data[position + i] = x.data[offset + i * step]!;
    });
    return { data, shape };
  },

  broadcastTo(x, target) {
    checkBroadcast(x.shape, target);
    const shape = numericShape(target);
    return { data: broadcastData(x, shape), shape };
  },

  concat(parts, axis) {
    const shapes = parts.map((part) => part.shape);
    checkConcat(shapes, axis);
    const first = parts[0]!;
    const at = resolveAxis(first.shape, axis);
    const shape = numericShape(withSize(first.shape, at, sumOf(shapes.map((each) => each[at]!))));
    const result = { data: zerosLike(first, entries(shape)), shape };
    let start = 0;
    for (const part of parts) {
      copyAlong(part, result, at, 0, start, part.shape[at]!);
      start += part.shape[at]!;
    }
    return result;
  },

  slice(x, axis, start, length) {
    const shape = numericShape(withSize(x.shape, axis, length));
    const [from, count, size] = [Number(start), Number(length), x.shape[resolveAxis(x.shape, axis)]!];
    if (from < 0 || from + count > size)
      throw new Error(`slice: ${from} to ${from + count} is beyond the ${size} entries of axis ${axis}.`);
    const result = { data: zerosLike(x, entries(shape)), shape };
    copyAlong(x, result, axis, from, 0, count);
    return result;
  },

  pad(x, axis, start, size) {
    const shape = numericShape(withSize(x.shape, axis, size));
    const length = x.shape[resolveAxis(x.shape, axis)]!;
    if (Number(start) < 0 || Number(start) + length > Number(size)) {
      throw new Error(`pad: ${length} entries at ${start} are beyond ${size}.`);
    }
    const result = { data: zerosLike(x, entries(shape)), shape };
    copyAlong(x, result, axis, 0, Number(start), length);
    return result;
  },

  gather(table, indices) {
    const [rows = 0, ...rest] = table.shape;
    const width = entries(rest);
    const shape = [...indices.shape, ...rest];
    const data = zerosLike(table, entries(shape));
    for (let position = 0; position < indices.data.length; position += 1) {
      const start = row(indices, position, rows) * width;
      data.set(table.data.subarray(start, start + width), position * width);
    }
    return { data, shape };
  },

  scatterAdd(rows, indices, size) {
    const shape = numericShape(scatterShape(rows.shape, indices.shape, size));
    const width = entries(shape.slice(1));
    const data = zerosLike(rows, entries(shape));
    for (let position = 0; position < indices.data.length; position += 1) {
      const start = row(indices, position, shape[0]!) * width;
      for (let i = 0; i < width; i += 1) data[start + i]! += rows.data[position * width + i]!;
    }
    return { data, shape };
  },
};
