import { attentionInBlocks } from '../derived-operations.ts';
import { immediateControl } from '../immediate-control.ts';
import type { Operations } from '../operations.ts';
import { checkConstant } from '../shapes.ts';
import { elementwise } from './elementwise.ts';
import { layers } from './layers.ts';
import { movement } from './movement.ts';
import { reductions } from './reductions.ts';
import type { PlainTensor } from './tensor.ts';

/**
 * The operations in plain TypeScript, computed at once in float64: the reference that other interpreters are compared
 * with. Written to be read, not to be fast.
 */
export const plainOperations: Operations<PlainTensor> = {
  ...elementwise,
  ...layers,
  ...movement,
  ...reductions,
  ...immediateControl(movement),
  attention: (queries, keys, values) => attentionInBlocks(plainOperations, queries, keys, values),

  shape: (x) => x.shape,

  constant(data, shape) {
    checkConstant(data, shape);
    return { data: data instanceof Int32Array ? data : new Float64Array(data), shape };
  },

  size: (dimension) => ({ data: Float64Array.of(Number(dimension)), shape: [] }),
  range: (length) => ({ data: Int32Array.from({ length: Number(length) }, (_, i) => i), shape: [Number(length)] }),
  toFloat: ({ data, shape }) => ({ data: Float64Array.from(data), shape }),
  toIndex: ({ data, shape }) => ({ data: Int32Array.from(data), shape }),
  detach: (x) => x,
};
