import { describe, expect, it } from 'vitest';
import { OnnxRecorder, type Operations, plainOperations } from '@sentvec/architectures';
import { shapeOperations } from '../src/shape-operations.ts';

type Mistake = <T>(ops: Operations<T>, tensor: (...shape: number[]) => T) => unknown;

const mistakes: readonly (readonly [what: string, make: Mistake, says: RegExp])[] = [
  [
    'constants that do not fill their shape',
    (ops) => ops.constant(new Float32Array(3), [2]),
    /constant: 3 numbers do not fill \[2\]/,
  ],
  [
    'a reshape to another number of entries',
    (ops, tensor) => ops.reshape(tensor(2, 3), [5]),
    /reshape: \[2, 3\] cannot become \[5\]/,
  ],
  ['a duplicate axis in a transpose', (ops, tensor) => ops.transpose(tensor(2, 3), [0, 0]), /transpose: \[0, 0\]/],
  [
    'a broadcast along an axis whose size is not 1',
    (ops, tensor) => ops.broadcastTo(tensor(2, 3), [4, 3]),
    /broadcastTo/,
  ],
  ['a broadcast to fewer axes', (ops, tensor) => ops.broadcastTo(tensor(2, 3), [3]), /broadcastTo/],
  [
    'sizes that do not broadcast',
    (ops, tensor) => ops.multiply(tensor(2, 3), tensor(4)),
    /\[2, 3\] and \[4\] are incompatible/,
  ],
  ['no tensors', (ops) => ops.concat([], 0), /concat: at least one tensor/],
  [
    'tensors of different sizes',
    (ops, tensor) => ops.concat([tensor(2, 3), tensor(2, 4)], 0),
    /concat: shapes \[2, 3\], \[2, 4\]/,
  ],
  [
    'a number of indices that differs from the number of rows',
    (ops, tensor) => ops.scatterAdd(tensor(2, 3), ops.range(3), 5),
    /scatterAdd: rows \[2, 3\]/,
  ],
  ['an axis that does not exist', (ops, tensor) => ops.max(tensor(2, 3), [2]), /no axis 2 in \[2, 3\]/],
  ['a reduction without axes', (ops, tensor) => ops.sum(tensor(2, 3), []), /At least one axis of \[2, 3\]/],
  ['incompatible matrices', (ops, tensor) => ops.matmul(tensor(2, 3), tensor(2, 3)), /matmul: \[2, 3\] and \[2, 3\]/],
  ['batches of matrices of different sizes', (ops, tensor) => ops.matmul(tensor(2, 3, 3), tensor(4, 3, 3)), /matmul/],
  [
    'a weight with another input size',
    (ops, tensor) => ops.linear(tensor(2, 3), tensor(5, 4)),
    /linear: \[2, 3\], \[5, 4\]/,
  ],
  ['a bias of another size', (ops, tensor) => ops.linear(tensor(2, 3), tensor(5, 3), tensor(4)), /linear: .*\[4\]/],
  [
    'a layer norm of another size',
    (ops, tensor) => ops.layerNorm(tensor(2, 3), tensor(3), tensor(2), 0),
    /layerNorm: \[2, 3\], \[3\], \[2\]/,
  ],
  ['an RMS norm of another size', (ops, tensor) => ops.rmsNorm(tensor(2, 3), tensor(2), 0), /rmsNorm: .*\[2\]/],
  [
    'a rotation of an odd size',
    (ops, tensor) => ops.rotate(tensor(2, 3), tensor(2, 1), tensor(2, 1)),
    /rotate: \[2, 3\], \[2, 1\]/,
  ],
  [
    'angles of another size',
    (ops, tensor) => ops.rotate(tensor(2, 4), tensor(2, 4), tensor(2, 4)),
    /rotate: \[2, 4\], \[2, 4\]/,
  ],
  [
    'angles with more rows than the tensor',
    (ops, tensor) => ops.rotate(tensor(1, 4), tensor(3, 2), tensor(3, 2)),
    /rotate: \[1, 4\], \[3, 2\]/,
  ],
];

const interpreters = {
  'plain TypeScript': () => plainOperations,
  'the ONNX recorder': () => new OnnxRecorder().operations,
  'the interpreter of shapes': () => shapeOperations,
};

describe.each(Object.entries(interpreters))('%s refuses', (_, interpreter) => {
  it.each(mistakes)('%s', (__, make, says) => {
    const attempt = <T>(ops: Operations<T>): unknown =>
      make(ops, (...shape) => ops.constant(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape));
    expect(() => attempt(interpreter() as Operations<unknown>)).toThrow(says);
  });
});

describe('plain TypeScript also refuses', () => {
  const table = plainOperations.constant(new Float32Array(6), [3, 2]);

  it.each([
    ['a slice beyond the end of an axis', () => plainOperations.slice(table, 0, 2, 2), /slice: 2 to 4 is beyond the 3/],
    ['a padded size that is too small', () => plainOperations.pad(table, 0, 2, 4), /pad: 3 entries at 2 are beyond 4/],
    [
      'a row that does not exist',
      () => plainOperations.gather(table, plainOperations.constant(Int32Array.of(3), [1])),
      /Row 3 does not exist/,
    ],
    ['a named size', () => plainOperations.broadcastTo(table, ['batch', 3, 2]), /size "batch" has no value/],
  ])('%s', (_, act, says) => {
    expect(act).toThrow(says);
  });
});
