import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { gradients, OnnxRecorder, plainOperations, plainTensor } from '@sentvec/architectures';
import { computeLoss, difference, flat, goldenLosses, tensorsOf } from './golden-losses.ts';

describe.each(goldenLosses)('%s', (_, golden) => {
  const tensors = tensorsOf(golden);
  const labelShape = golden.labels && [
    golden.labels.length,
    ...(Array.isArray(golden.labels[0]) ? [golden.labels[0].length] : []),
  ];

  test('has the value and gradients of PyTorch on the plain interpreter', () => {
    const labels = golden.labels && plainTensor(flat(golden.labels), labelShape!);
    const result = gradients(
      plainOperations,
      (ops, tracked, fixed) => computeLoss(golden, ops, tracked, labels ? fixed(labels) : undefined),
      tensors.map(({ data, shape }) => plainTensor(data, shape)),
    );
    expect(difference(result.value.data, Float32Array.of(golden.value))).toBeLessThan(1e-4);
    for (const [i, gradient] of result.gradients.entries())
      expect(difference(gradient.data, flat(golden.gradients[i]!))).toBeLessThan(1e-4);
  });

  test('has the value and gradients of PyTorch as a graph on onnxruntime', async () => {
    const recorder = new OnnxRecorder();
    const inputs = tensors.map(({ name, shape, isColumn }) =>
      recorder.input(name, 'float', isColumn ? ['examples', shape[1]!] : shape),
    );
    const labels = labelShape ? recorder.input('labels', 'float', ['examples', ...labelShape.slice(1)]) : undefined;
    const recorded = gradients(
      recorder.operations,
      (ops, tracked, fixed) => computeLoss(golden, ops, tracked, labels ? fixed(labels) : undefined),
      inputs,
    );
    recorder.output('loss', recorded.value);
    for (const [i, gradient] of recorded.gradients.entries()) recorder.output(`gradient ${tensors[i]!.name}`, gradient);
    const session = await InferenceSession.create(recorder.encode());
    const feeds: Record<string, Tensor> = {};
    for (const { name, data, shape } of tensors) feeds[name] = new Tensor('float32', data, shape);
    if (golden.labels) feeds['labels'] = new Tensor('float32', flat(golden.labels), labelShape!);
    const results = await session.run(feeds);
    expect(difference(results['loss']!.data as Float32Array, Float32Array.of(golden.value))).toBeLessThan(1e-4);
    for (const [i, { name }] of tensors.entries())
      expect(difference(results[`gradient ${name}`]!.data as Float32Array, flat(golden.gradients[i]!))).toBeLessThan(
        1e-4,
      );
    await session.release();
  });
});
