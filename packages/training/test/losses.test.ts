import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { gradients, OnnxRecorder, plainOperations, plainTensor } from '@sentvec/architectures';
import { goldenPath } from '@sentvec/testing';
import { lossFromName } from '@sentvec/training';

interface GoldenLoss {
  readonly loss: string;
  readonly params: Record<string, unknown>;
  readonly columns: readonly string[];
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

describe.each(cases.map((golden) => [`${golden.loss} ${JSON.stringify(golden.params)}`, golden] as const))('%s', (_, golden) => {
  const loss = lossFromName(golden.loss, golden.params);
  const shape = [golden.embeddings[0]!.length, golden.embeddings[0]![0]!.length];
  const labelShape = golden.labels && [golden.labels.length, ...(Array.isArray(golden.labels[0]) ? [golden.labels[0].length] : [])];

  test('value and gradients, plain', () => {
    const columns = golden.embeddings.map((matrix) => plainTensor(flat(matrix), shape));
    const labels = golden.labels && plainTensor(flat(golden.labels), labelShape!);
    const result = gradients(
      plainOperations,
      (ops, tracked, fixed) => loss.compute(ops, tracked, labels ? fixed(labels) : undefined),
      columns,
    );
    expect(difference(result.value.data, Float32Array.of(golden.value))).toBeLessThan(1e-4);
    for (const [i, gradient] of result.gradients.entries())
      expect(difference(gradient.data, flat(golden.gradients[i]!))).toBeLessThan(1e-4);
  });

  test('value and gradients, recorded and run by onnxruntime', async () => {
    const recorder = new OnnxRecorder();
    const columns = golden.columns.map((name) => recorder.input(name, 'float', ['examples', shape[1]!]));
    const labels = labelShape ? recorder.input('labels', 'float', ['examples', ...labelShape.slice(1)]) : undefined;
    const recorded = gradients(
      recorder.operations,
      (ops, tracked, fixed) => loss.compute(ops, tracked, labels ? fixed(labels) : undefined),
      columns,
    );
    recorder.output('loss', recorded.value);
    for (const [i, gradient] of recorded.gradients.entries()) recorder.output(`gradient ${golden.columns[i]}`, gradient);
    const session = await InferenceSession.create(recorder.encode());
    const feeds: Record<string, Tensor> = {};
    for (const [i, name] of golden.columns.entries()) feeds[name] = new Tensor('float32', flat(golden.embeddings[i]!), shape);
    if (golden.labels) feeds['labels'] = new Tensor('float32', flat(golden.labels), labelShape!);
    const results = await session.run(feeds);
    expect(difference(results['loss']!.data as Float32Array, Float32Array.of(golden.value))).toBeLessThan(1e-4);
    for (const [i, name] of golden.columns.entries())
      expect(difference(results[`gradient ${name}`]!.data as Float32Array, flat(golden.gradients[i]!))).toBeLessThan(1e-4);
    await session.release();
  });
});
