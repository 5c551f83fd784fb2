import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';

/** The kernel `GatherV2` along axis 0, of tables of 4-byte numbers: rows are copied whole. */
export const gatherRows: KernelFunc = ({ inputs, backend: given }) => {
  const backend = given as BackendWasm;
  const { x, indices } = inputs as { x: TensorInfo; indices: TensorInfo };
  const [count = 0, ...rest] = x.shape;
  const out = backend.makeOutput([...indices.shape, ...rest], x.dtype);
  const [table, numbers, rows] = [x, indices, out].map((tensor) => backend.typedArrayFromHeap(tensor));
  const width = widthOf(rest);
  for (const [index, row] of numbers!.entries()) {
    checkRow('GatherV2', row, count);
    rows!.set(table!.subarray(row * width, (row + 1) * width), index * width);
  }
  return out;
};

/** The kernel `UnsortedSegmentSum`, the gradient of a gather: row i of `x` is added to row `segmentIds[i]` of zeros. */
export const unsortedSegmentSum: KernelFunc = ({ inputs, attrs, backend: given }) => {
  const backend = given as BackendWasm;
  const { x, segmentIds } = inputs as { x: TensorInfo; segmentIds: TensorInfo };
  const { numSegments } = attrs as { numSegments: number };
  const [, ...rest] = x.shape;
  const out = backend.makeOutput([numSegments, ...rest], x.dtype);
  const [sums, rows, segments] = [out, x, segmentIds].map((tensor) => backend.typedArrayFromHeap(tensor));
  const width = widthOf(rest);
  sums!.fill(0);
  for (const [row, segment] of segments!.entries()) {
    checkRow('UnsortedSegmentSum', segment, numSegments);
    const [from, to] = [row * width, segment * width];
    for (let i = 0; i < width; i += 1) sums![to + i]! += rows![from + i]!;
  }
  return out;
};

function widthOf(rest: readonly number[]): number {
  return rest.reduce((entries, size) => entries * size, 1);
}

function checkRow(kernel: string, row: number, count: number): void {
  if (row < 0 || row >= count) throw new Error(`${kernel}: there is no row ${row}; there are ${count}.`);
}
