import * as tf from '@tensorflow/tfjs';

import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { gradients, type Operations, plainOperations, type PlainTensor } from '@sentvec/architectures';
import { openRuntime, tfjsOperations, type TfTensor } from '@sentvec/backend-tfjs';
import { type OperationCase, operationCases, random, valueCases } from '../../architectures/test/operation-cases.ts';
import { fromPlain, largestDifference, tidied, toPlain } from './plain-tensors.ts';

/** A function of the result whose gradient is different for each entry. */
function weightedSum<T>(ops: Operations<T>, result: T, weights: T): T {
  const axes = ops.shape(weights).map((_, axis) => axis);
  return ops.sum(ops.multiply(ops.reshape(result, ops.shape(weights)), weights), axes);
}

function weightsFor({ shape }: PlainTensor): PlainTensor {
  return random(shape.length === 0 ? [1] : shape, 99);
}

function plainResult(operation: OperationCase): PlainTensor {
  return operation.compute(plainOperations, operation.parameters, operation.others ?? []);
}

function plainGradients(operation: OperationCase, weights: PlainTensor): readonly PlainTensor[] {
  return gradients(
    plainOperations,
    (ops, tracked, fixed) =>
      weightedSum(ops, operation.compute(ops, tracked, (operation.others ?? []).map(fixed)), fixed(weights)),
    operation.parameters,
  ).gradients;
}

describe.each(['cpu', 'wasm'] as const)('operations on %s', (device) => {
  const ops = tfjsOperations(tf);

  beforeAll(async () => {
    await openRuntime(device);
  });

  afterEach(() => {
    if (tf.memory().numTensors !== 0) throw new Error(`${tf.memory().numTensors} tensors were left behind.`);
  });

  it.each([...operationCases, ...valueCases])('$name gives the plain values', (operation) => {
    const expected = plainResult(operation);
    const actual = tidied(tf, () => {
      const [parameters, others] = [operation.parameters, operation.others ?? []].map((tensors) =>
        tensors.map((each) => fromPlain(tf, each)),
      );
      return toPlain(operation.compute(ops, parameters!, others!));
    });
    const scale = 1 + Math.max(...expected.data.map(Math.abs));
    expect(largestDifference(actual, expected) / scale).toBeLessThan(2e-6);
  });

  it.each(operationCases)('the gradient of $name is that of the tape', (operation) => {
    const weights = weightsFor(plainResult(operation));
    const expected = plainGradients(operation, weights);
    const actual = tidied(tf, () => {
      const others = (operation.others ?? []).map((each) => fromPlain(tf, each));
      const parameters = operation.parameters.map((each) => fromPlain(tf, each));
      const loss = (): TfTensor => weightedSum(ops, operation.compute(ops, parameters, others), fromPlain(tf, weights));
      // As `tf.grads`, but a parameter may take no part.
      const { grads } = tf.engine().gradients(loss, parameters, undefined, true);
      return parameters.map((parameter, index) => toPlain(grads[index] ?? tf.zerosLike(parameter)));
    });
    for (const [index, gradient] of expected.entries()) {
      const scale = 1 + Math.max(...gradient.data.map(Math.abs));
      expect(largestDifference(actual[index]!, gradient) / scale).toBeLessThan(5e-6);
    }
  });
});
