import { expect, test } from 'vitest';
import { AdamW, Parameters } from '@sentvec/training';

/**
 * A reference AdamW with gradient clipping in double precision, written from the documentation of torch.optim.AdamW.
 */
function reference(weights: number[], decays: boolean[], gradientsOfSteps: number[][], learningRate: number) {
  const mean = weights.map(() => 0);
  const variance = weights.map(() => 0);
  for (const [index, gradients] of gradientsOfSteps.entries()) {
    const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0));
    const scale = Math.min(1, 1 / (norm + 1e-6));
    for (const [i, raw] of gradients.entries()) {
      const g = raw * scale;
      mean[i] = 0.9 * mean[i]! + 0.1 * g;
      variance[i] = 0.999 * variance[i]! + 0.001 * g * g;
      const mHat = mean[i] / (1 - 0.9 ** (index + 1));
      const vHat = variance[i] / (1 - 0.999 ** (index + 1));
      if (decays[i]) weights[i]! *= 1 - learningRate * 0.01;
      weights[i]! -= (learningRate * mHat) / (Math.sqrt(vHat) + 1e-8);
    }
  }
  return weights;
}

test('updates match AdamW in double precision, with clipping and decay on matrices only', () => {
  const random = (seed: number) => (i: number) => Math.sin(seed * 12.9898 + i * 78.233);
  const matrix = Float32Array.from({ length: 15 }, (_, i) => random(1)(i));
  const vector = Float32Array.from({ length: 7 }, (_, i) => random(2)(i));
  const parameters = new Parameters([
    { name: 'matrix', shape: [5, 3], data: matrix },
    { name: 'vector', shape: [7], data: vector },
  ]);
  const [first, second] = parameters.slots as [never, never];
  const optimizer = new AdamW(parameters);
  const steps = Array.from({ length: 6 }, (_, step) =>
    Array.from({ length: 22 }, (__, i) => random(step + 3)(i) * (step < 3 ? 2 : 0.05)),
  );
  const expected = reference(
    [...matrix, ...vector],
    Array.from({ length: 22 }, (_, i) => i < 15),
    steps,
    0.01,
  );
  for (const gradients of steps) {
    parameters.view(parameters.gradients, first).set(gradients.slice(0, 15));
    parameters.view(parameters.gradients, second).set(gradients.slice(15));
    const norm = optimizer.gradientNorm();
    expect(norm).toBeCloseTo(Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0)), 5);
    optimizer.step(0.01, norm);
  }
  const actual = [...parameters.view(parameters.weights, first), ...parameters.view(parameters.weights, second)];
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, 5);
});

test('a gradient with NaN or infinity makes the returned norm non-finite', () => {
  const parameters = new Parameters([{ name: 'w', shape: [4], data: new Float32Array(4) }]);
  parameters.gradients[2] = Number.NaN;
  expect(new AdamW(parameters).gradientNorm()).toBeNaN();
});
