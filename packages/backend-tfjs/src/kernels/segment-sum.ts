import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';

/** The kernel `UnsortedSegmentSum`, the gradient of a gather: row i of `x` is added to row `segmentIds[i]` of zeros. */
export const unsortedSegmentSum: KernelFunc = ({ inputs, attrs, backend: given }) => {
  const backend = given as BackendWasm;
  const { x, segmentIds } = inputs as { x: TensorInfo; segmentIds: TensorInfo };
  const { numSegments } = attrs as { numSegments: number };
  const [, ...rest] = x.shape;
  const out = backend.makeOutput([numSegments, ...rest], x.dtype);
  const [sums, rows, segments] = [out, x, segmentIds].map((tensor) => backend.typedArrayFromHeap(tensor));
  const width = rest.reduce((entries, size) => entries * size, 1);
  sums!.fill(0);
  for (const [row, segment] of segments!.entries()) {
    if (segment < 0 || segment >= numSegments) throw new Error(`UnsortedSegmentSum: there is no row ${segment} among ${numSegments}.`);
    const [from, to] = [row * width, segment * width];
    for (let i = 0; i < width; i += 1) sums![to + i]! += rows![from + i]!;
  }
  return out;
};
