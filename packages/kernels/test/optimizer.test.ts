import { expect, it } from 'vitest';
import { optimizerKernels } from '@sentvec/kernels';
import { randomNumbers } from './random.ts';

const memory = new WebAssembly.Memory({ initial: 1 });
const kernels = optimizerKernels(memory);
const count = 20;

it('squares are added up in double precision', () => {
  const x = new Float32Array(memory.buffer, 0, count).fill(1e-4);
  x[0] = 1e4;
  const expected = x.reduce((sum, entry) => sum + entry * entry, 0);
  expect(kernels.sumOfSquares(0, count)).toBeCloseTo(expected, 6);
  expect(kernels.sumOfSquares(0, count)).toBeGreaterThan(1e8);
});

it('an update is that of AdamW in double precision, and writes nothing after its parameters', () => {
  const buffers = [1, 2, 3, 4].map((seed) => randomNumbers(count + 4, seed));
  buffers[2] = buffers[2]!.map(Math.abs);
  const size = buffers[0]!.byteLength;
  const parts = buffers.map((data, index) => {
    const part = new Float32Array(memory.buffer, index * size, data.length);
    part.set(data);
    return part;
  });
  const [scale, beta1, beta2, keep, step, correction, epsilon] = [0.5, 0.9, 0.999, 0.99, 0.01, 1.5, 1e-8] as const;
  kernels.update(0, size, 2 * size, 3 * size, count, scale, beta1, beta2, keep, step, correction, epsilon);
  const [weights, means, variances, gradients] = buffers as [Float32Array, Float32Array, Float32Array, Float32Array];
  for (let i = 0; i < count + 4; i++) {
    const gradient = gradients[i]! * scale;
    const mean = beta1 * means[i]! + (1 - beta1) * gradient;
    const variance = beta2 * variances[i]! + (1 - beta2) * gradient ** 2;
    const weight = weights[i]! * keep - (step * mean) / (Math.sqrt(variance) * correction + epsilon);
    const expected = i < count ? [weight, mean, variance] : [weights[i]!, means[i]!, variances[i]!];
    for (const [part, value] of expected.entries()) expect(parts[part]![i]).toBeCloseTo(value, 5);
    expect(parts[3]![i]).toBe(gradients[i]);
  }
});
