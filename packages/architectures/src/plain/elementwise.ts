// Element-wise operations in plain TypeScript.
import { erf } from '@sentvec/core';
import type { ElementwiseOperations, Operand } from '../operations.ts';
import { broadcastShapes } from '../shapes.ts';
import {
  broadcastStrides,
  entries,
  type FloatArrays,
  numericShape,
  type PlainTensor,
  walk,
  zerosLike,
} from './tensor.ts';

function toTensor(operand: Operand<PlainTensor>): PlainTensor {
  return typeof operand === 'number' ? { data: Float64Array.of(operand), shape: [] } : operand;
}

/** The entries of `tensor`, broadcast to `shape`. */
export function broadcastData(tensor: PlainTensor, shape: readonly number[]): PlainTensor['data'] {
  const count = entries(shape);
  if (tensor.data.length === count) return tensor.data;
  const result = zerosLike(tensor, count);
  const { data } = tensor;
  walk(shape, broadcastStrides(tensor.shape, shape), ({ offset, position, count: length, step }) => {
    if (step === 1) result.set(data.subarray(offset, offset + length), position);
    else result.fill(data[offset]!, position, position + length);
  });
  return result;
}

/** The entries of a tensor that is repeated to `shape`, and how far apart they are: 0 when it has one. */
function repeated(tensor: PlainTensor, shape: readonly number[]): readonly [PlainTensor['data'], number] {
  return tensor.data.length === 1 ? [tensor.data, 0] : [broadcastData(tensor, shape), 1];
}

/** The operations; results are kept in `Floats`. */
export function elementwise(Floats: FloatArrays): ElementwiseOperations<PlainTensor> {
  const binary =
    (name: string, compute: (a: number, b: number) => number): ElementwiseOperations<PlainTensor>['add'] =>
    (left, right) => {
      const [a, b] = [toTensor(left), toTensor(right)];
      const shape = numericShape(broadcastShapes(name, a.shape, b.shape));
      const data = new Floats(entries(shape));
      const [dataA, stepA] = repeated(a, shape);
      const [dataB, stepB] = repeated(b, shape);
      for (let i = 0; i < data.length; i += 1) data[i] = compute(dataA[i * stepA]!, dataB[i * stepB]!);
      return { data, shape };
    };
  const unary =
    (compute: (x: number) => number): ElementwiseOperations<PlainTensor>['exp'] =>
    (x) => {
      const data = new Floats(x.data.length);
      for (let i = 0; i < data.length; i += 1) data[i] = compute(x.data[i]!);
      return { data, shape: x.shape };
    };
  return {
    add: binary('add', (a, b) => a + b),
    subtract: binary('subtract', (a, b) => a - b),
    multiply: binary('multiply', (a, b) => a * b),
    divide: binary('divide', (a, b) => a / b),
    maximum: binary('maximum', Math.max),
    greater: binary('greater', (a, b) => (a > b ? 1 : 0)),
    equal: binary('equal', (a, b) => (a === b ? 1 : 0)),

    where(condition, left, right) {
      const [a, b] = [toTensor(left), toTensor(right)];
      const shape = numericShape(broadcastShapes('where', condition.shape, a.shape, b.shape));
      const [chosen, dataA, dataB] = [condition, a, b].map((each) => broadcastData(each, shape));
      const data = new Floats(entries(shape));
      for (let i = 0; i < data.length; i += 1) data[i] = chosen![i] === 0 ? dataB![i]! : dataA![i]!;
      return { data, shape };
    },

    exp: unary(Math.exp),
    log: unary(Math.log),
    sqrt: unary(Math.sqrt),
    tanh: unary(Math.tanh),
    sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
    erf: unary(erf),
    relu: unary((x) => Math.max(x, 0)),
    gelu: unary((x) => (x * (1 + erf(x * Math.SQRT1_2))) / 2),
  };
}
