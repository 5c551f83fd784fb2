import { type Operations, plainIndices, plainTensor, type PlainTensor } from '@sentvec/architectures';

/** A use of an operation with tensors whose gradients are tested (`parameters`), and other tensors. */
export interface OperationCase {
  readonly name: string;
  readonly parameters: readonly PlainTensor[];
  readonly others?: readonly PlainTensor[] | undefined;
  compute<T>(ops: Operations<T>, parameters: readonly T[], others: readonly T[]): T;
}

/** Pseudorandom numbers from -2 to 2, the same for the same seed. */
export function randomNumbers(count: number, seed: number): Float64Array {
  let state = seed * 2_654_435_769;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 0) / 2 ** 30 - 2;
  });
}

/** A tensor of pseudorandom numbers from -2 to 2, rounded to float32. */
export function random(shape: readonly number[], seed: number): PlainTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return plainTensor(Float32Array.from(randomNumbers(count, seed)), shape);
}

/** A tensor of pseudorandom numbers from 0.5 to 2.5. */
function positive(shape: readonly number[], seed: number): PlainTensor {
  const { data } = random(shape, seed);
  return plainTensor(
    Float32Array.from(data, (x) => Math.abs(x) + 0.5),
    shape,
  );
}

const [a, b, row, column] = [random([3, 4], 1), random([3, 4], 2), random([4], 3), random([3, 1], 4)];
const [left, right] = [random([2, 3, 4, 5], 5), random([2, 3, 5, 6], 6)];
const withTies = plainTensor([1, 2, 2, -1, 3, 0, 3, 3, -2, -2, -2, -5], [3, 4]);

/** The tensor with its last two axes swapped. */
function swapped({ data, shape }: PlainTensor): PlainTensor {
  const [rows, cols] = shape.slice(-2) as [number, number];
  const size = rows * cols;
  const moved = Float64Array.from(data, (_, i) => {
    const [block, index] = [Math.floor(i / size), i % size];
    return data[block * size + (index % rows) * cols + Math.floor(index / rows)]!;
  });
  return plainTensor(moved, [...shape.slice(0, -2), cols, rows]);
}

function of(
  name: string,
  parameters: readonly PlainTensor[],
  compute: OperationCase['compute'],
  others?: readonly PlainTensor[],
): OperationCase {
  return { name, parameters, compute, ...(others === undefined ? {} : { others }) };
}

/** All operations with a gradient, including their broadcasting and options. */
export const operationCases: readonly OperationCase[] = [
  of('reshape', [a], (ops, [x]) => ops.reshape(x!, [2, 6])),
  of('transpose', [left], (ops, [x]) => ops.transpose(x!, [2, 0, 3, 1])),
  of('transpose by negative axes', [a], (ops, [x]) => ops.transpose(x!, [-1, -2])),
  of('broadcastTo', [column], (ops, [x]) => ops.broadcastTo(x!, [2, 3, 4])),
  of('concat', [a, random([3, 2], 7)], (ops, parts) => ops.concat(parts, -1)),
  of('slice', [a], (ops, [x]) => ops.slice(x!, 1, 1, 2)),
  of('slice of outer axis', [left], (ops, [x]) => ops.slice(x!, -3, 2, 1)),
  of('pad', [a], (ops, [x]) => ops.pad(x!, 0, 2, 6)),
  of('pad of inner axis', [left], (ops, [x]) => ops.pad(x!, 2, 1, 7)),
  of('gather', [a], (ops, [x], [rows]) => ops.gather(x!, rows!), [plainIndices([2, 0, 2, 1, 2, 2], [2, 3])]),
  of('gather of distinct rows', [a], (ops, [x], [rows]) => ops.gather(x!, rows!, { distinct: true }), [
    plainIndices([2, 0], [2]),
  ]),
  of('scatterAdd', [random([2, 3, 4], 8)], (ops, [x], [rows]) => ops.scatterAdd(x!, rows!, 5), [
    plainIndices([2, 0, 2, 4, 2, 2], [2, 3]),
  ]),
  of('scatterAdd to many rows', [a], (ops, [x], [rows]) => ops.scatterAdd(x!, rows!, 3000), [
    plainIndices([2999, 7, 2999], [3]),
  ]),
  of('scatterAdd of distinct rows', [a], (ops, [x], [rows]) => ops.scatterAdd(x!, rows!, 7, { distinct: true }), [
    plainIndices([5, 0, 2], [3]),
  ]),
  of('add', [a, column], (ops, [x, y]) => ops.add(x!, y!)),
  of('subtract', [row, a], (ops, [x, y]) => ops.subtract(x!, y!)),
  of('subtract from a number', [a], (ops, [x]) => ops.subtract(1.5, x!)),
  of('multiply', [row, column], (ops, [x, y]) => ops.multiply(x!, y!)),
  of('multiply by itself', [a], (ops, [x]) => ops.multiply(x!, x!)),
  of('divide', [a, positive([4], 9)], (ops, [x, y]) => ops.divide(x!, y!)),
  of('divide a number', [positive([3, 4], 10)], (ops, [x]) => ops.divide(2, x!)),
  of('maximum', [a, b], (ops, [x, y]) => ops.maximum(x!, y!)),
  of('maximum with a number', [a], (ops, [x]) => ops.maximum(x!, 0.25)),
  of('where', [a, row], (ops, [x, y], [condition]) => ops.where(condition!, x!, y!), [plainTensor([1, 0, 1], [3, 1])]),
  of('where of a comparison', [a, b], (ops, [x, y]) => ops.where(ops.greater(x!, y!), x!, ops.multiply(y!, 3))),
  of('exp', [a], (ops, [x]) => ops.exp(x!)),
  of('log', [positive([3, 4], 11)], (ops, [x]) => ops.log(x!)),
  of('sqrt', [positive([3, 4], 12)], (ops, [x]) => ops.sqrt(x!)),
  of('tanh', [a], (ops, [x]) => ops.tanh(x!)),
  of('sigmoid', [a], (ops, [x]) => ops.sigmoid(x!)),
  of('erf', [a], (ops, [x]) => ops.erf(x!)),
  of('relu', [a], (ops, [x]) => ops.relu(x!)),
  of('gelu', [a], (ops, [x]) => ops.gelu(x!)),
  of('sum', [left], (ops, [x]) => ops.sum(x!, [1, -1])),
  of('sum, keepAxes', [left], (ops, [x]) => ops.sum(x!, [0, 2], true)),
  of('max', [left], (ops, [x]) => ops.max(x!, [1, 3])),
  of('max, keepAxes', [a], (ops, [x]) => ops.max(x!, [-1], true)),
  of('logSumExp', [left], (ops, [x]) => ops.logSumExp(x!, [0, 3])),
  of('logSumExp of large numbers', [a], (ops, [x]) => ops.logSumExp(ops.multiply(x!, 200), [0, 1], true)),
  of('cumulativeSum', [left], (ops, [x]) => ops.cumulativeSum(x!, 2)),
  of('softmax', [left], (ops, [x]) => ops.softmax(x!)),
  of('matmul', [left, right], (ops, [x, y]) => ops.matmul(x!, y!)),
  of('matmul, left transposed', [swapped(left), right], (ops, [x, y]) => ops.matmul(x!, y!, { transposeLeft: true })),
  of('matmul, right transposed', [left, swapped(right)], (ops, [x, y]) => ops.matmul(x!, y!, { transposeRight: true })),
  of('matmul, both transposed', [swapped(left), swapped(right)], (ops, [x, y]) =>
    ops.matmul(x!, y!, { transposeLeft: true, transposeRight: true }),
  ),
  of('matmul of matrices', [a, b], (ops, [x, y]) => ops.matmul(x!, y!, { transposeLeft: true })),
  of('linear', [a, random([2, 4], 13), random([2], 14)], (ops, [x, weight, bias]) => ops.linear(x!, weight!, bias)),
  of('linear without bias, more axes', [left, random([2, 5], 15)], (ops, [x, weight]) => ops.linear(x!, weight!)),
  of(
    'layerNorm',
    [left, random([5], 16), random([5], 17)],
    (ops, [x, weight, bias]) => ops.layerNorm(x!, weight!, bias, 1e-5).output,
  ),
  of(
    'layerNorm without bias',
    [left, random([5], 16)],
    (ops, [x, weight]) => ops.layerNorm(x!, weight!, undefined, 1e-5).output,
  ),
  of('rmsNorm', [left, random([5], 18)], (ops, [x, weight]) => ops.rmsNorm(x!, weight!, 1e-2)),
  of('rotate', [random([2, 3, 4, 6], 19)], (ops, [x], [cosines, sines]) => ops.rotate(x!, cosines!, sines!), [
    random([4, 3], 20),
    random([4, 3], 21),
  ]),
  of('attention', [random([1, 2, 130, 2], 22), random([1, 2, 3, 2], 23), random([1, 2, 3, 1], 24)], (ops, [q, k, v]) =>
    ops.attention(q!, k!, v!),
  ),
  of('ifLonger', [a], (ops, [x]) =>
    ops.ifLonger(
      ops.shape(x!)[0]!,
      2,
      () => ops.divide(1, ops.exp(x!)),
      () => ops.exp(ops.multiply(x!, -1)),
    ),
  ),
  of('inBlocks', [random([5, 2], 25)], (ops, [x]) =>
    ops.inBlocks(5, { size: 2, before: 1, after: 1 }, 0, ({ start, size, from, length }) =>
      ops.multiply(ops.slice(x!, 0, start, size), ops.sum(ops.slice(x!, 0, from, length), [0])),
    ),
  ),
  of('layerNorm statistics', [a, row], (ops, [x, weight]) => {
    const { mean, inverseDeviation } = ops.layerNorm(x!, weight!, weight, 1e-3);
    return ops.multiply(mean, inverseDeviation);
  }),
];

/**
 * Uses without a derivative or without a float result. Their results are compared between interpreters; gradients are
 * not tested.
 */
export const valueCases: readonly OperationCase[] = [
  of('greater', [a, row], (ops, [x, y]) => ops.greater(x!, y!)),
  of('equal', [withTies], (ops, [x]) => ops.equal(x!, ops.max(x!, [1], true))),
  of('range', [], (ops) => ops.toFloat(ops.range(5))),
  of('size of a shape', [a], (ops, [x]) => ops.multiply(ops.size(ops.shape(x!)[0]!), ops.size(ops.shape(x!)[1]!))),
  of('toIndex', [plainTensor([0, 3, 2], [3])], (ops, [x]) => ops.toIndex(x!)),
  of('detach', [a], (ops, [x]) => ops.detach(x!)),
  of('maximum of equals', [withTies], (ops, [x]) => ops.maximum(x!, x!)),
];
