import * as onnxruntime from 'onnxruntime-node';
import { expect, test } from 'vitest';
import {
  cosentLoss,
  graphEngine,
  lossFromName,
  makeBatch,
  multipleNegativesRankingLoss,
  recordGraphs,
  trainableTensors,
  type EngineGraphs,
} from '@sentvec/training';
import { plainStep } from './plain-step.ts';
import { column, tiny } from './tiny-model.ts';

const engineOf = (graphs: EngineGraphs) => graphEngine(onnxruntime, graphs, { name: 'test' });

test.each(['tiny-bert', 'tiny-roberta', 'tiny-mpnet', 'tiny-bert-multipool'])(
  '%s: the forward graph computes the golden vectors',
  async (name) => {
    const { model, expected, all } = await tiny(name);
    const engine = await engineOf(
      recordGraphs(model, expected.dimension, { objectives: [], trained: all, dropout: false }),
    );
    const { data } = await engine.embed(makeBatch([column(expected.cases, [...expected.cases.keys()])]));
    const differences = expected.cases.flatMap(({ embedding }, row) =>
      embedding.map((entry, i) => Math.abs(entry - data[row * expected.dimension + i]!)),
    );
    expect(Math.max(...differences)).toBeLessThan(5e-5);
    await engine.dispose();
  },
);

test.each(['tiny-bert', 'tiny-mpnet', 'tiny-bert-multipool'])(
  '%s: a step updates each weight with the gradient of the plain interpreter',
  async (name) => {
    const { model, expected, all } = await tiny(name);
    const batch = makeBatch(
      [column(expected.cases, [1, 2, 3]), column(expected.cases, [4, 5, 6])],
      Float32Array.of(0.2, 0.9, 0.5),
    );
    const tensors = trainableTensors(model);
    const plain = plainStep(model, batch, cosentLoss());
    const graphs = recordGraphs(model, expected.dimension, {
      objectives: [{ loss: cosentLoss(), columns: 2 }],
      trained: all,
      dropout: false,
    });
    const engine = await engineOf(graphs);
    const { loss, gradientNorm } = await engine.step({ batches: [batch], learningRate: 0 });
    expect(loss).toBeCloseTo(plain.loss, 3);
    const squares = [...plain.gradients.values()]
      .flatMap((entries) => Array.from(entries))
      .reduce((sum, entry) => sum + entry * entry, 0);
    expect(gradientNorm / Math.sqrt(squares)).toBeCloseTo(1, 3);
    // After one step the first moment is a tenth of the clipped gradient.
    const { firstMoments } = await engine.state();
    const clip = Math.min(1, 1 / (gradientNorm + 1e-6)) * 0.1;
    let offset = 0;
    for (const { name: tensor, data } of tensors) {
      const expectedMoments = Array.from(plain.gradients.get(tensor)!).map((entry) => entry * clip);
      const worst = Math.max(...expectedMoments.map((entry, i) => Math.abs(entry - firstMoments[offset + i]!)));
      expect.soft(worst, tensor).toBeLessThan(2e-5);
      offset += Math.ceil(data.length / 4) * 4;
    }
    await engine.dispose();
  },
);

test('the embedding of the padding token has no gradient, even if texts end with that token', async () => {
  const { model, expected, all } = await tiny('tiny-qwen2');
  const { tokenTable, paddingId } = model.definition.network;
  expect(expected.cases[1]!.ids.at(-1)).toBe(paddingId);
  const engine = await engineOf(
    recordGraphs(model, expected.dimension, {
      objectives: [{ loss: multipleNegativesRankingLoss(), columns: 2 }],
      trained: all,
      dropout: false,
    }),
  );
  const batch = makeBatch([column(expected.cases, [1, 2]), column(expected.cases, [3, 4])]);
  await engine.step({ batches: [batch], learningRate: 1e-3 });
  const { firstMoments } = await engine.state();
  const [table] = trainableTensors(model);
  expect(table!.name).toBe(tokenTable);
  const width = table!.shape[1]!;
  const row = (id: number): Float32Array => firstMoments.subarray(id * width, (id + 1) * width);
  expect(row(paddingId!).every((entry) => entry === 0)).toBe(true);
  expect(row(expected.cases[1]!.ids[0]!).every((entry) => entry === 0)).toBe(false);
  await engine.dispose();
});

test('cached gradients equal those of the whole batch', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const batch = makeBatch([column(expected.cases, [1, 2, 3, 4, 5]), column(expected.cases, [6, 7, 8, 9, 10])]);
  const objectives = [{ loss: multipleNegativesRankingLoss(), columns: 2 }];
  const states = [];
  for (const cachedExamples of [undefined, 3]) {
    const engine = await engineOf(
      recordGraphs(model, expected.dimension, { objectives, trained: all, dropout: false, cachedExamples }),
    );
    const result = await engine.step({ batches: [batch], learningRate: 1e-3 });
    states.push({ ...result, ...(await engine.state()) });
    await engine.dispose();
  }
  const [whole, cached] = states as [(typeof states)[0], (typeof states)[0]];
  expect(cached.loss).toBeCloseTo(whole.loss, 4);
  expect(cached.gradientNorm).toBeCloseTo(whole.gradientNorm, 3);
  const worst = whole.firstMoments.reduce(
    (most, entry, i) => Math.max(most, Math.abs(entry - cached.firstMoments[i]!)),
    0,
  );
  expect(worst).toBeLessThan(1e-6);
});

test('frozen tensors are not changed, but all others are', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const trained = new Set([...all].filter((name) => name.startsWith('encoder.layer.2.')));
  const objectives = [{ loss: multipleNegativesRankingLoss(), columns: 2 }];
  const engine = await engineOf(recordGraphs(model, expected.dimension, { objectives, trained, dropout: false }));
  const texts = [column(expected.cases, [1, 2, 3]), column(expected.cases, [6, 7, 8])] as const;
  const before = await engine.state();
  await engine.step({ batches: [makeBatch(texts)], learningRate: 1e-2 });
  const after = await engine.state();
  const size = trainableTensors(model).reduce((sum, { name, data }) => sum + (trained.has(name) ? data.length : 0), 0);
  expect(after.weights.length).toBe(size);
  expect(after.weights).not.toEqual(before.weights);
  await engine.dispose();
});

test('dropout differs between steps and is reproducible for a seed; without a finite loss, no weight is changed', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const objectives = [{ loss: lossFromName('CosineSimilarityLoss'), columns: 2 }];
  const engine = await engineOf(recordGraphs(model, expected.dimension, { objectives, trained: all, dropout: true }));
  const columns = [column(expected.cases, [1, 2, 3]), column(expected.cases, [6, 7, 8])];
  const batch = () => makeBatch(columns, Float32Array.of(0, 0.5, 1));
  const lossAt = async (seed: number) => (await engine.step({ batches: [batch()], learningRate: 0, seed })).loss;
  const losses = [await lossAt(1), await lossAt(2), await lossAt(1)];
  expect(losses[0]).not.toBe(losses[1]);
  expect(losses[2]).toBe(losses[0]);
  const before = await engine.state();
  const broken = await engine.step({
    batches: [makeBatch(columns, Float32Array.of(0, Number.NaN, 1))],
    learningRate: 1e-3,
  });
  expect(broken.loss).toBeNaN();
  expect((await engine.state()).weights).toEqual(before.weights);
  await engine.dispose();
});

test('with cached gradients, each part of a batch has other dropout masks, as unsupervised SimCSE needs', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const objectives = [{ loss: lossFromName('CosineSimilarityLoss'), columns: 2 }];
  const texts = column(expected.cases, [1, 2, 3]);
  const batch = makeBatch([texts, texts], Float32Array.of(1, 1, 1));
  const lossWith = async (dropout: boolean, cachedExamples?: number) => {
    const engine = await engineOf(
      recordGraphs(model, expected.dimension, { objectives, trained: all, dropout, cachedExamples }),
    );
    const { loss } = await engine.step({ batches: [batch], learningRate: 0, seed: 3 });
    await engine.dispose();
    return loss;
  };
  expect(await lossWith(false, 3)).toBeLessThan(1e-10);
  for (const cachedExamples of [undefined, 3, 1])
    expect([cachedExamples, (await lossWith(true, cachedExamples)) > 1e-4]).toEqual([cachedExamples, true]);
});

test('labels can be arrays with one number', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const columns = [column(expected.cases, [1, 2]), column(expected.cases, [3, 4]), column(expected.cases, [5, 6])];
  const losses = [];
  for (const [labelWidth, cachedExamples] of [[undefined], [1], [1, 2]] as const) {
    const objectives = [{ loss: lossFromName('MarginMSELoss'), columns: 3, labelWidth }];
    const engine = await engineOf(
      recordGraphs(model, expected.dimension, { objectives, trained: all, dropout: false, cachedExamples }),
    );
    const batches = [makeBatch(columns, Float32Array.of(0.5, -1))];
    losses.push((await engine.step({ batches, learningRate: 0 })).loss);
    await engine.dispose();
  }
  expect(losses[1]).toBeCloseTo(losses[0]!, 5);
  expect(losses[2]).toBeCloseTo(losses[0]!, 4);
});
