// The interpreter whose tensors are only shapes. With it, a program runs without computing numbers, to find the weights
// that it looks up and the shape of its result.
import { sumOf } from './dimensions.ts';
import type { Operand, Operations, Shape } from './operations.ts';
import {
  broadcastShapes,
  checkBroadcast,
  checkConcat,
  checkConstant,
  checkNorm,
  checkReshape,
  halfShape,
  linearShape,
  matmulShape,
  reducedShape,
  resolveAxis,
  scatterShape,
  transposedShape,
  withSize,
} from './shapes.ts';

const same = (x: Shape): Shape => x;

const shapeOf = (x: Operand<Shape>): Shape => (typeof x === 'number' ? [] : x);

const binary =
  (operation: string) =>
  (a: Operand<Shape>, b: Operand<Shape>): Shape =>
    broadcastShapes(operation, shapeOf(a), shapeOf(b));

const reduce = (x: Shape, axes: readonly number[], keepAxes = false): Shape => reducedShape(x, axes, keepAxes);

/** The operations on shapes. Wrong shapes throw an error, as in every interpreter. */
export const shapeOperations: Operations<Shape> = {
  shape: same,
  constant(data, shape) {
    checkConstant(data, shape);
    return shape;
  },
  size: () => [],
  range: (length) => [length],
  toFloat: same,
  toIndex: same,
  detach: same,

  reshape(x, shape) {
    checkReshape(x, shape);
    return shape;
  },
  transpose: transposedShape,
  broadcastTo(x, shape) {
    checkBroadcast(x, shape);
    return shape;
  },
  concat(parts, axis) {
    checkConcat(parts, axis);
    return withSize(parts[0]!, axis, sumOf(parts.map((part) => part[resolveAxis(part, axis)]!)));
  },
  slice: (x, axis, _, length) => withSize(x, axis, length),
  pad: (x, axis, _, size) => withSize(x, axis, size),
  gather: (table, indices) => [...indices, ...table.slice(1)],
  scatterAdd: scatterShape,

  add: binary('add'),
  subtract: binary('subtract'),
  multiply: binary('multiply'),
  divide: binary('divide'),
  maximum: binary('maximum'),
  greater: binary('greater'),
  equal: binary('equal'),
  where: (condition, a, b) => broadcastShapes('where', condition, shapeOf(a), shapeOf(b)),

  exp: same,
  log: same,
  sqrt: same,
  tanh: same,
  sigmoid: same,
  erf: same,
  relu: same,
  gelu: same,

  sum: reduce,
  max: reduce,
  logSumExp: reduce,
  cumulativeSum: (x, axis) => withSize(x, axis, x[resolveAxis(x, axis)]!),

  softmax: same,
  matmul: (a, b, { transposeLeft = false, transposeRight = false } = {}) =>
    matmulShape(a, b, transposeLeft, transposeRight),
  linear: linearShape,
  layerNorm(x, weight, bias) {
    checkNorm('layerNorm', x, weight, bias);
    return { output: x, mean: withSize(x, -1, 1), inverseDeviation: withSize(x, -1, 1) };
  },
  rmsNorm(x, weight) {
    checkNorm('rmsNorm', x, weight);
    return x;
  },
  rotate(x, cosines, sines) {
    halfShape(x, cosines, sines);
    return x;
  },

  attention: (queries, keys, values) => matmulShape(matmulShape(queries, keys, false, true), values, false, false),

  ifLonger: (_size, _limit, _long, short) => short(),
  inBlocks: (count, { size }, axis, compute) =>
    withSize(compute({ start: 0, size, from: 0, length: count }), axis, count),
};
