import * as onnxruntime from 'onnxruntime-node';
import * as tf from '@tensorflow/tfjs';
import { expect, test } from 'vitest';
import {
  cosentLoss,
  graphEngine,
  lossFromName,
  makeBatch,
  multipleNegativesRankingLoss,
  recordGraphs,
  trainableTensors,
} from '@sentvec/training';
import { tfjsEngine } from '@sentvec/training/tfjs';
import { column, tiny } from './tiny-model.ts';

const largest = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, entry, i) => Math.max(most, Math.abs(entry - b[i]!)), 0);

test.each(
  ['tiny-bert', 'tiny-roberta', 'tiny-mpnet', 'tiny-bert-multipool'].flatMap((name) => [
    [name, false] as const,
    [name, true] as const,
  ]),
)('%s: steps are those of onnxruntime, dropout %s', async (name, dropout) => {
  const { model, expected, all } = await tiny(name);
  const options = { objectives: [{ loss: cosentLoss(), columns: 2 }], trained: all, dropout };
  const batch = makeBatch(
    [column(expected.cases, [1, 2, 3]), column(expected.cases, [4, 5, 6])],
    Float32Array.of(0.2, 0.9, 0.5),
  );
  const graphs = await graphEngine(onnxruntime, recordGraphs(model, expected.dimension, options), {
    name: 'test',
  });
  const tensorFlow = await tfjsEngine(model, { ...options, device: 'wasm' });
  const embedded = await tensorFlow.embed(makeBatch([column(expected.cases, [...expected.cases.keys()])]));
  const vectors = Float32Array.from(expected.cases.flatMap(({ embedding }) => embedding));
  expect(largest(embedded.data, vectors)).toBeLessThan(5e-5);
  for (let step = 0; step < 3; step += 1) {
    const [ours, theirs] = [
      await tensorFlow.step({ batches: [batch], learningRate: 1e-4, seed: step }),
      await graphs.step({ batches: [batch], learningRate: 1e-4, seed: step }),
    ];
    expect(ours.loss / theirs.loss).toBeCloseTo(1, 3);
    expect(ours.gradientNorm / theirs.gradientNorm).toBeCloseTo(1, 3);
  }
  expect(largest((await tensorFlow.state()).firstMoments, (await graphs.state()).firstMoments)).toBeLessThan(2e-5);
  expect(tf.memory().numTensors).toBe(0);
  await Promise.all([tensorFlow.dispose(), graphs.dispose()]);
});

test('cached gradients equal those of the whole batch, and several batches are averaged', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const batches = [
    [1, 2, 3, 4, 5],
    [6, 7, 8, 9, 10],
  ].map((rows) => makeBatch([column(expected.cases, rows), column(expected.cases, rows.toReversed())]));
  const options = {
    objectives: [{ loss: multipleNegativesRankingLoss(), columns: 2 }],
    trained: all,
    dropout: false,
    device: 'wasm' as const,
  };
  const states = [];
  for (const cachedExamples of [undefined, 3]) {
    const engine = await tfjsEngine(model, { ...options, cachedExamples });
    const result = await engine.step({ batches, learningRate: 1e-3 });
    states.push({ ...result, ...(await engine.state()) });
  }
  const [whole, cached] = states as [(typeof states)[0], (typeof states)[0]];
  expect(cached.loss).toBeCloseTo(whole.loss, 4);
  expect(cached.gradientNorm).toBeCloseTo(whole.gradientNorm, 3);
  expect(largest(cached.firstMoments, whole.firstMoments)).toBeLessThan(1e-6);
});

test('dropout is reproducible for a seed, frozen tensors are not changed, and no weight is changed without a finite loss', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const trained = new Set([...all].filter((name) => name.startsWith('encoder.layer.2.')));
  const objectives = [{ loss: lossFromName('CosineSimilarityLoss'), columns: 2 }];
  const engine = await tfjsEngine(model, { objectives, trained, dropout: true, device: 'wasm' });
  const columns = [column(expected.cases, [1, 2, 3]), column(expected.cases, [6, 7, 8])];
  const lossAt = async (seed: number) =>
    (await engine.step({ batches: [makeBatch(columns, Float32Array.of(0, 0.5, 1))], learningRate: 0, seed })).loss;
  const losses = [await lossAt(1), await lossAt(2), await lossAt(1)];
  expect(losses[0]).not.toBe(losses[1]);
  expect(losses[2]).toBe(losses[0]);
  const before = await engine.state();
  expect(before.weights.length).toBe(
    trainableTensors(model).reduce((sum, { name, data }) => sum + (trained.has(name) ? data.length : 0), 0),
  );
  const broken = await engine.step({
    batches: [makeBatch(columns, Float32Array.of(0, Number.NaN, 1))],
    learningRate: 1e-3,
  });
  expect(broken.loss).toBeNaN();
  expect((await engine.state()).weights).toEqual(before.weights);
});
