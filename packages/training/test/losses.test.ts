import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { gradients, OnnxRecorder, plainOperations, plainTensor } from '@sentvec/architectures';
import { difference, flat, goldenLosses, lossOf } from './golden-losses.ts';

describe.each(goldenLosses)('%s', (_, golden) => {
  const loss = lossOf(golden);
  const shape = [golden.embeddings[0]!.length, golden.embeddings[0]![0]!.length];
  const labelShape = golden.labels && [
    golden.labels.length,
    ...(Array.isArray(golden.labels[0]) ? [golden.labels[0].length] : []),
  ];

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
    for (const [i, gradient] of recorded.gradients.entries())
      recorder.output(`gradient ${golden.columns[i]}`, gradient);
    const session = await InferenceSession.create(recorder.encode());
    const feeds: Record<string, Tensor> = {};
    for (const [i, name] of golden.columns.entries())
      feeds[name] = new Tensor('float32', flat(golden.embeddings[i]!), shape);
    if (golden.labels) feeds['labels'] = new Tensor('float32', flat(golden.labels), labelShape!);
    const results = await session.run(feeds);
    expect(difference(results['loss']!.data as Float32Array, Float32Array.of(golden.value))).toBeLessThan(1e-4);
    for (const [i, name] of golden.columns.entries())
      expect(difference(results[`gradient ${name}`]!.data as Float32Array, flat(golden.gradients[i]!))).toBeLessThan(
        1e-4,
      );
    await session.release();
  });
});
