import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import '@tensorflow/tfjs';
import { openRuntime, type Runtime, tfjsOperations, type TfTensor } from '@sentvec/backend-tfjs';
import { goldenPath } from '@sentvec/testing';
import { lossFromName } from '@sentvec/training';

interface GoldenLoss {
  readonly loss: string;
  readonly params: Record<string, unknown>;
  readonly embeddings: readonly (readonly (readonly number[])[])[];
  readonly labels: readonly (number | readonly number[])[] | null;
  readonly value: number;
  readonly gradients: readonly (readonly (readonly number[])[])[];
}

const { cases } = JSON.parse(readFileSync(goldenPath('losses.json'), 'utf8')) as { cases: GoldenLoss[] };
const flat = (matrix: readonly (number | readonly number[])[]) => Float32Array.from(matrix.flat());

/** The largest difference of an entry, as a share of the largest expected entry. */
function difference(actual: ArrayLike<number>, expected: Float32Array): number {
  if (actual.length !== expected.length) return Infinity;
  const largest = expected.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0);
  return Math.max(...expected.map((entry, i) => Math.abs(entry - actual[i]!))) / largest;
}

describe('losses on TensorFlow.js, with its own gradients', () => {
  let runtime: Runtime;

  beforeAll(async () => {
    runtime = await openRuntime('wasm');
  });

  test.each(cases.map((golden) => [`${golden.loss} ${JSON.stringify(golden.params)}`, golden] as const))('%s', (_, golden) => {
    const { tf } = runtime;
    const ops = tfjsOperations(tf);
    const loss = lossFromName(golden.loss, golden.params);
    const width = golden.embeddings[0]![0]!.length;
    tf.engine().startScope();
    const columns = golden.embeddings.map((matrix) => tf.tensor2d(flat(matrix), [matrix.length, width]) as TfTensor);
    const labelShape = golden.labels && [golden.labels.length, ...(Array.isArray(golden.labels[0]) ? [golden.labels[0].length] : [])];
    const labels = golden.labels ? tf.tensor(flat(golden.labels), labelShape!) : undefined;
    const { value, grads } = tf.engine().gradients(() => loss.compute(ops, columns, labels), columns);
    const found = { value: value.dataSync(), gradients: grads.map((gradient) => gradient.dataSync()) };
    tf.engine().endScope();
    expect(difference(found.value, Float32Array.of(golden.value))).toBeLessThan(1e-4);
    for (const [i, gradient] of found.gradients.entries()) expect(difference(gradient, flat(golden.gradients[i]!))).toBeLessThan(1e-4);
    expect(tf.memory().numTensors).toBe(0);
  });
});
