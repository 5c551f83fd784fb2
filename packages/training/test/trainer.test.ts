import { expect, test } from 'vitest';
import { memoryModel } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';
import { goldenModel } from '@sentvec/testing';
import {
  fromScratch,
  lossFromName,
  train,
  type StepOrder,
  type TrainingEngine,
  type TrainingOptions,
} from '@sentvec/training';
import { loadTrainable } from '@sentvec/training/node';
import { planEpoch } from '../src/epoch-plan.ts';
import { samplePairs } from './sample-pairs.ts';
import { engineThatSays } from './told-engine.ts';

function setOf(name: string, count: number, loss = 'CoSENTLoss') {
  const examples = samplePairs(count);
  const columns = [examples.map(({ a }) => a), examples.map(({ b }) => b)];
  return { name, loss: lossFromName(loss), examples: { columns, labels: examples.map(({ score }) => score) } };
}

/** Trains with an engine that computes nothing and an evaluation that gives these scores. */
async function trainTold(scores: readonly number[], options: TrainingOptions, engine = engineThatSays(() => ({}))) {
  const { reader } = await loadTrainable(goldenModel('tiny-bert'));
  const left = [...scores];
  return train({
    engine,
    reader,
    sets: [setOf('pairs', 40)],
    options,
    evaluate: async () => ({ score: left.shift() ?? 0 }),
  });
}

test('evaluates every n steps, keeps the best weights, and stops when patience is at an end', async () => {
  const engine = engineThatSays(() => ({}));
  const outcome = await trainTold(
    [0.1, 0.5, 0.7, 0.6, 0.65, 0.9],
    { epochs: 4, batchSize: 8, evaluateEvery: 2, patience: 2 },
    engine,
  );
  expect(outcome.history.evaluations.map(({ step, score }) => [step, score])).toEqual([
    [0, 0.1],
    [2, 0.5],
    [4, 0.7],
    [6, 0.6],
    [8, 0.65],
  ]);
  expect(outcome).toMatchObject({ bestStep: 4, steps: 8, stoppedEarly: true });
  expect((await engine.state()).weights).toEqual(Float32Array.of(4));
});

test('evaluates after each epoch, and at the end', async () => {
  const { history, stoppedEarly } = await trainTold([0.1, 0.2, 0.3], { epochs: 2, batchSize: 8 });
  expect(history.evaluations.map(({ step }) => step)).toEqual([0, 5, 10]);
  expect(stoppedEarly).toBe(false);
  expect(
    (await trainTold([0.1, 0.2], { maxSteps: 3, batchSize: 8 })).history.evaluations.map(({ step }) => step),
  ).toEqual([0, 3]);
});

test('gradients of several batches make one step; the learning rate warms up and falls', async () => {
  const orders: StepOrder[] = [];
  const told = engineThatSays(() => ({}));
  const engine: TrainingEngine = { ...told, step: (order) => (orders.push(order), told.step(order)) };
  const options = { epochs: 4, batchSize: 4, gradientAccumulation: 2, learningRate: 1, warmup: 0.2 };
  await trainTold([], options, engine);
  expect(orders.map(({ batches }) => batches.length)).toEqual(Array.from({ length: 20 }, () => 2));
  expect(orders.map(({ learningRate }) => learningRate).slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
  expect(orders.at(-1)!.learningRate).toBeCloseTo(1 / 16);
  expect(new Set(orders.map(({ seed }) => seed)).size).toBe(20);
});

test('several sets: in proportion to their size, or in turn', () => {
  const sets = [setOf('large', 64), setOf('small', 16)];
  const turns = (mixing: 'proportional' | 'round-robin') =>
    planEpoch(sets, { batchSize: 8, seed: 1, mixing }, 0).map(({ set }) => set);
  expect(turns('round-robin')).toEqual([0, 1, 0, 1]);
  const mixed = turns('proportional');
  const sorted = mixed.toSorted((a, b) => a - b);
  expect(sorted).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
  expect(mixed).not.toEqual(sorted);
});

test.each([
  'bert',
  'roberta',
  'xlm-roberta',
  'camembert',
  'mpnet',
  'distilbert',
  'static-embedding',
  'universal-sentence-encoder-lite',
])('%s from scratch: a folder with positions for its longest text, that is served', async (modelType) => {
  const texts = samplePairs(50).flatMap(({ a, b }) => [a, b]);
  const files = await fromScratch('scratch', texts, {
    config: { model_type: modelType },
    vocabularySize: 100,
    maxLength: 24,
  });
  const embedder = await loadEmbedder(memoryModel('scratch', await contentsOf(files)), { backend: onnx() });
  const { vectors } = await embedder.embed(['the quick brown fox', 'words '.repeat(60), 'an unknown ☃']);
  expect([vectors.rows, vectors.cols]).toEqual([3, 256]);
  for (const row of [0, 1, 2]) {
    const length = Math.hypot(...vectors.data.subarray(row * 256, (row + 1) * 256));
    expect(length).toBeCloseTo(1, 4);
  }
  expect(modelType === 'static-embedding' || embedder.maxLength === 24).toBe(true);
  await embedder.dispose();
});

async function contentsOf(files: Awaited<ReturnType<typeof fromScratch>>): Promise<Record<string, Uint8Array>> {
  return Object.fromEntries(
    await Promise.all((await files.list()).map(async (path) => [path, await files.read(path)] as const)),
  );
}
