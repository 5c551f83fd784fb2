import { attentionInBlocks } from '../derived-operations.ts';
import { immediateControl } from '../immediate-control.ts';
import type { Operations } from '../operations.ts';
import { checkConstant } from '../shapes.ts';
import { elementwise } from './elementwise.ts';
import { layers } from './layers.ts';
import { movement } from './movement.ts';
import { reductions } from './reductions.ts';
import type { FloatArrays, PlainTensor } from './tensor.ts';

/**
 * The operations in plain TypeScript, computed immediately. Sums are computed in float64, results are stored in
 * `Floats`, and constants keep their precision. The code is written for readability, not for speed.
 */
export function plainOperationsIn(Floats: FloatArrays): Operations<PlainTensor> {
  const operations: Operations<PlainTensor> = {
    ...elementwise(Floats),
    ...layers(Floats),
    ...movement,
    ...reductions(Floats),
    ...immediateControl(movement),
    attention: (queries, keys, values) => attentionInBlocks(operations, queries, keys, values),

    shape: (x) => x.shape,

    constant(data, shape) {
      checkConstant(data, shape);
      return { data: data instanceof Int32Array || Floats === Float32Array ? data : new Floats(data), shape };
    },

    size: (dimension) => ({ data: Floats.of(Number(dimension)), shape: [] }),
    range: (length) => ({ data: Int32Array.from({ length: Number(length) }, (_, i) => i), shape: [Number(length)] }),
    toFloat: ({ data, shape }) => ({ data: Floats.from(data), shape }),
    toIndex: ({ data, shape }) => ({ data: Int32Array.from(data), shape }),
    detach: (x) => x,
  };
  return operations;
}

/** The operations in float64, which are the reference for other interpreters. */
export const plainOperations: Operations<PlainTensor> = plainOperationsIn(Float64Array);
