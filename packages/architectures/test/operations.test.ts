import { describe, expect, it } from 'vitest';
import {
  gradients,
  OnnxRecorder,
  plainIndices,
  plainOperations,
  type PlainTensor,
  plainTensor,
  Tape,
} from '@sentvec/architectures';
import { shapeOperations } from '../src/shape-operations.ts';
import { declareInputs, feedsOf, largestDifference, runOnnx } from './onnx-session.ts';
import { type OperationCase, operationCases, random, valueCases } from './operation-cases.ts';

/** Different factors of the entries of a result, for the weighted sum whose gradient is tested. */
function weightsFor(result: PlainTensor): PlainTensor {
  return { data: random([result.data.length], 99).data, shape: result.shape };
}

function plainResult(operation: OperationCase, parameters: readonly PlainTensor[] = operation.parameters): PlainTensor {
  return operation.compute(plainOperations, parameters, operation.others ?? []);
}

function withEntry(tensor: PlainTensor, index: number, change: number): PlainTensor {
  const data = Float64Array.from(tensor.data);
  data[index]! += change;
  return { data, shape: tensor.shape };
}

/** The gradient of the weighted sum by central finite differences. */
function finiteDifferences(operation: OperationCase, weights: PlainTensor): PlainTensor[] {
  const step = 1e-5;
  const loss = (parameters: readonly PlainTensor[]): number => {
    const { data } = plainResult(operation, parameters);
    return Array.from(data).reduce((sum, entry, i) => sum + entry * weights.data[i]!, 0);
  };
  return operation.parameters.map((parameter, i) => ({
    shape: parameter.shape,
    data: Float64Array.from(parameter.data, (_, entry) => {
      const [more, less] = [step, -step].map((change) =>
        operation.parameters.with(i, withEntry(parameter, entry, change)),
      );
      return (loss(more!) - loss(less!)) / (2 * step);
    }),
  }));
}

function plainGradients(operation: OperationCase, weights: PlainTensor): readonly PlainTensor[] {
  const tape = new Tape(plainOperations);
  const tracked = operation.parameters.map((parameter) => tape.parameter(parameter));
  const result = operation.compute(
    tape.operations,
    tracked,
    (operation.others ?? []).map((other) => tape.fixed(other)),
  );
  return tape.gradients(result, tracked, weights);
}

describe('the gradient of', () => {
  it.each(operationCases)('$name equals finite finiteDifferences', (operation) => {
    const weights = weightsFor(plainResult(operation));
    const expected = finiteDifferences(operation, weights);
    plainGradients(operation, weights).forEach((gradient, i) =>
      expect(largestDifference(gradient, expected[i]!)).toBeLessThan(1e-5),
    );
  });

  it('maximum() is shared by equal operands', () => {
    const x: PlainTensor = { data: Float64Array.of(2, 1), shape: [2] };
    const { gradients: found } = gradients(plainOperations, (ops, [p, q]) => ops.sum(ops.maximum(p!, q!), [0]), [
      x,
      { ...x },
    ]);
    expect(found.map(({ data }) => [...data])).toEqual([
      [0.5, 0.5],
      [0.5, 0.5],
    ]);
  });

  it('detach() is zero', () => {
    const x: PlainTensor = { data: Float64Array.of(2, 3), shape: [2] };
    const { gradients: found } = gradients(
      plainOperations,
      (ops, [p]) => ops.sum(ops.multiply(ops.detach(p!), p!), [0]),
      [x],
    );
    expect([...found[0]!.data]).toEqual([2, 3]);
  });

  it('max() is shared by all entries that are equal to the largest', () => {
    const x: PlainTensor = { data: Float64Array.of(2, 1, 2, 2), shape: [4] };
    const { value, gradients: found } = gradients(plainOperations, (ops, [p]) => ops.max(p!, [0]), [x]);
    expect([...value.data]).toEqual([2]);
    expect([...found[0]!.data]).toEqual([1 / 3, 0, 1 / 3, 1 / 3]);
  });

  it('where() is zero for entries that are not selected, even if they are infinite', () => {
    const x: PlainTensor = { data: Float64Array.of(0, 4), shape: [2] };
    const { value, gradients: found } = gradients(
      plainOperations,
      (ops, [p]) => ops.sum(ops.where(ops.greater(p!, 1), ops.log(ops.maximum(p!, 1)), 7), [0]),
      [x],
    );
    expect(value.data[0]).toBeCloseTo(7 + Math.log(4), 12);
    expect([...found[0]!.data]).toEqual([0, 0.25]);
  });

  it('a function is zero for parameters on which it does not depend', () => {
    const [x, y] = [random([2], 1), random([3], 2)];
    const { gradients: found } = gradients(plainOperations, (ops, [p]) => ops.sum(p!, [0]), [x, y]);
    expect(found.map(({ data }) => [...data])).toEqual([
      [1, 1],
      [0, 0, 0],
    ]);
  });

  it('a gradient can be computed with nested tapes', () => {
    const outer = new Tape(plainOperations);
    const x = outer.parameter({ data: Float64Array.of(1.5), shape: [] });
    const inner = new Tape(outer.operations);
    const y = inner.parameter(x);
    const cube = inner.operations.multiply(inner.operations.multiply(y, y), y);
    const [slope] = inner.gradients(cube, [y]);
    expect(slope!.value.data[0]).toBeCloseTo(3 * 1.5 ** 2, 12);
    expect(outer.gradients(slope!, [x])[0]!.data[0]).toBeCloseTo(6 * 1.5, 12);
  });
});

describe('the interpreter of shapes', () => {
  it.each([...operationCases, ...valueCases])('$name returns the shape of the plain result', (operation) => {
    const shapesOf = (tensors: readonly PlainTensor[] = []) => tensors.map(({ shape }) => shape);
    const found = operation.compute(shapeOperations, shapesOf(operation.parameters), shapesOf(operation.others));
    expect(found).toEqual(plainResult(operation).shape);
  });
});

/** Records the operation and its gradients as one graph. */
function recordWithGradients(operation: OperationCase, dynamic: boolean): Uint8Array {
  const recorder = new OnnxRecorder();
  const { parameters, others = [] } = operation;
  const inputs = declareInputs(recorder, [...parameters, ...others], dynamic);
  const tape = new Tape(recorder.operations);
  const tracked = inputs.slice(0, parameters.length).map((input) => tape.parameter(input));
  const fixed = inputs.slice(parameters.length).map((input) => tape.fixed(input));
  const result = operation.compute(tape.operations, tracked, fixed);
  recorder.output('result', result.value);
  const weights = recorder.input('weights', 'float', recorder.operations.shape(result.value));
  tape.gradients(result, tracked, weights).forEach((gradient, i) => recorder.output(`gradient${i}`, gradient));
  return recorder.encode();
}

/** Cases whose operands include sizes as numbers, so that they cannot be recorded with dynamic sizes. */
const fixedOnly = new Set(['reshape', 'broadcastTo', 'rotate', 'inBlocks']);

const recorded = operationCases.flatMap((operation) => [
  { operation, sizes: 'fixed' },
  ...(fixedOnly.has(operation.name) ? [] : [{ operation, sizes: 'dynamic' }]),
]);

describe('the ONNX recorder', () => {
  it.each(recorded)(
    '$operation.name ($sizes sizes): result and gradients equal those of plain TypeScript',
    async ({ operation, sizes }) => {
      const expected = plainResult(operation);
      const weights = weightsFor(expected);
      const feeds = { ...feedsOf([...operation.parameters, ...(operation.others ?? [])]), weights };
      const results = await runOnnx(recordWithGradients(operation, sizes === 'dynamic'), feeds);
      const scale = 1 + Math.max(...expected.data);
      expect(largestDifference(results['result']!, expected) / scale).toBeLessThan(2e-6);
      plainGradients(operation, weights).forEach((gradient, i) => {
        const size = 1 + Math.max(...gradient.data.map(Math.abs));
        expect(largestDifference(results[`gradient${i}`]!, gradient) / size).toBeLessThan(5e-6);
      });
    },
  );

  it.each(valueCases)('$name: the result equals that of plain TypeScript', async (operation) => {
    const recorder = new OnnxRecorder();
    recorder.output(
      'result',
      operation.compute(recorder.operations, declareInputs(recorder, operation.parameters, false), []),
    );
    const { result } = await runOnnx(recorder.encode(), feedsOf(operation.parameters));
    expect(largestDifference(result!, plainResult(operation))).toBe(0);
  });

  it('scatterAdd adds all rows on several threads when indices repeat', async () => {
    const recorder = new OnnxRecorder();
    const [count, width, size] = [2048, 96, 64];
    const rows = recorder.input('rows', 'float', ['count', width]);
    const indices = recorder.input('indices', 'index', ['count']);
    recorder.output('result', recorder.operations.scatterAdd(rows, indices, size));
    const feeds = {
      rows: plainTensor(
        Array.from({ length: count * width }, (_, i) => i % 7),
        [count, width],
      ),
      indices: plainIndices(
        Array.from({ length: count }, (_, i) => i % size),
        [count],
      ),
    };
    const { result } = await runOnnx(recorder.encode(), feeds, 2);
    expect(largestDifference(result!, plainOperations.scatterAdd(feeds.rows, feeds.indices, size))).toBe(0);
  });
});
