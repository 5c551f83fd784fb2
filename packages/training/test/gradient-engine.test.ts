import { expect, test } from 'vitest';
import type { Matrix } from '@sentvec/core';
import { GradientEngine, Parameters, type BatchGradients, type TrainingBatch } from '@sentvec/training';

/** A batch with one column, identified by its first token. */
function batchOf(token: number, examples = 1): TrainingBatch {
  const ids = new Int32Array(examples).fill(token);
  const mask = new Int32Array(examples).fill(1);
  return { columns: 1, examples, length: 1, ids, mask, poolingMask: new Float32Array(examples).fill(1) };
}

/** A fake runtime. The gradients of a batch are its first token times 1, 2 and 3. It records the dropout keys. */
function scripted() {
  const keys: [string, string][] = [];
  const note = (what: string, dropout?: Float32Array) => keys.push([what, String(dropout)]);
  const runtime: BatchGradients = {
    embed: async ({ ids, examples }, dropout) => {
      note('embed', dropout);
      return { data: Float32Array.from(ids), rows: examples, cols: 1 };
    },
    lossGradients: async ({ ids }, _, into, { dropout } = {}) => {
      note('loss', dropout);
      into.set([ids[0]!, 2 * ids[0]!, 3 * ids[0]!]);
      return 10 * ids[0]!;
    },
    vectorGradients: async (vectors: Matrix) => ({ loss: 7, gradients: vectors.data.map((entry) => -entry) }),
    pullback: async (_, { data }, into, dropout) => {
      note('pullback', dropout);
      into.set([data.reduce((sum, entry) => sum + entry, 0), data.length, 0]);
    },
    dispose: async () => undefined,
  };
  return { runtime, keys };
}

function engineOn(runtime: BatchGradients, options: { cachedExamples?: number; dropout?: boolean } = {}) {
  const parameters = new Parameters([{ name: 'weights', shape: [3], data: new Float32Array(3) }]);
  const optimizer = { clipNorm: Infinity };
  return new GradientEngine(runtime, parameters, {
    name: 'scripted',
    objectives: [{}],
    dropout: false,
    optimizer,
    ...options,
  });
}

/** AdamW's first moment after one step is a tenth of the gradient. */
async function gradientOf(engine: GradientEngine): Promise<number[]> {
  const { firstMoments } = await engine.state();
  return [...firstMoments.subarray(0, 3)].map((moment) => Number((moment * 10).toFixed(4)));
}

test('losses and gradients of the batches of a step are averaged, not summed', async () => {
  const engine = engineOn(scripted().runtime);
  const { loss, gradientNorm } = await engine.step({ batches: [1, 2, 6].map((id) => batchOf(id)), learningRate: 0.1 });
  expect(loss).toBeCloseTo(30, 5);
  expect(gradientNorm).toBeCloseTo(Math.hypot(3, 6, 9), 5);
  expect(await gradientOf(engine)).toEqual([3, 6, 9]);
  expect((await engine.state()).steps).toBe(1);
});

test('cached gradients are summed over the parts of a batch and averaged over the batches', async () => {
  const engine = engineOn(scripted().runtime, { cachedExamples: 2 });
  const { loss } = await engine.step({ batches: [batchOf(1, 5), batchOf(3, 5)], learningRate: 0.1 });
  expect(loss).toBe(7);
  // Each vector's gradient is minus its token: -5 and -15 in sum, over 5 vectors each.
  expect(await gradientOf(engine)).toEqual([-10, 5, 0]);
});

test('every step, batch and part of a batch has different dropout masks, which are the same in both passes', async () => {
  const { runtime, keys } = scripted();
  const engine = engineOn(runtime, { cachedExamples: 2, dropout: true });
  const order = { batches: [batchOf(1, 5), batchOf(1, 5)], learningRate: 0.1 };
  await engine.step({ ...order, seed: 1 });
  await engine.step({ ...order, seed: 2 });
  const first = keys.filter(([what]) => what === 'embed').map(([, key]) => key);
  const second = keys.filter(([what]) => what === 'pullback').map(([, key]) => key);
  expect(second).toEqual(first);
  expect(new Set(first).size).toBe(2 * 2 * 3);
  keys.length = 0;
  await engine.step({ ...order, seed: 1 });
  expect(keys.filter(([what]) => what === 'embed').map(([, key]) => key)).toEqual(first.slice(0, 6));
  const plain = scripted();
  await engineOn(plain.runtime).step({ ...order, seed: 1 });
  expect(plain.keys).toEqual([
    ['loss', 'undefined'],
    ['loss', 'undefined'],
  ]);
});

test('a state with other weights, and an unknown objective, are refused', async () => {
  const engine = engineOn(scripted().runtime);
  const state = await engine.state();
  await expect(engine.restore({ ...state, weights: new Float32Array(3) })).rejects.toMatchObject({
    code: 'invalid-argument',
  });
  await expect(engine.step({ batches: [batchOf(1)], objective: 1, learningRate: 1 })).rejects.toThrow('objective 1');
});
