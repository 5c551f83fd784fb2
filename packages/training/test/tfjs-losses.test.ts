import { beforeAll, describe, expect, test } from 'vitest';
import '@tensorflow/tfjs';
import { openRuntime, type Runtime, tfjsOperations, type TfTensor } from '@sentvec/backend-tfjs';
import { computeLoss, difference, flat, goldenLosses, tensorsOf } from './golden-losses.ts';

describe('losses on TensorFlow.js, with its own gradients', () => {
  let runtime: Runtime;

  beforeAll(async () => {
    runtime = await openRuntime('wasm');
  });

  test.each(goldenLosses)('%s', (_, golden) => {
    const { tf } = runtime;
    const ops = tfjsOperations(tf);
    tf.engine().startScope();
    const tensors = tensorsOf(golden).map(({ data, shape }) => tf.tensor(data, shape)) as TfTensor[];
    const labelShape = golden.labels && [
      golden.labels.length,
      ...(Array.isArray(golden.labels[0]) ? [golden.labels[0].length] : []),
    ];
    const labels = golden.labels ? tf.tensor(flat(golden.labels), labelShape!) : undefined;
    const { value, grads } = tf.engine().gradients(() => computeLoss(golden, ops, tensors, labels), tensors);
    const found = { value: value.dataSync(), gradients: grads.map((gradient) => gradient.dataSync()) };
    tf.engine().endScope();
    expect(difference(found.value, Float32Array.of(golden.value))).toBeLessThan(1e-4);
    for (const [i, gradient] of found.gradients.entries())
      expect(difference(gradient, flat(golden.gradients[i]!))).toBeLessThan(1e-4);
    expect(tf.memory().numTensors).toBe(0);
  });
});
