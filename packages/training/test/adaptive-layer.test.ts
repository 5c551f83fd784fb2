// Compares training steps of a whole model with AdaptiveLayerLoss and Matryoshka2dLoss with those of
// sentence-transformers, and tests their random draws.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { goldenModel, goldenPath } from '@sentvec/testing';
import {
  adaptiveLayerLoss,
  lossFromName,
  makeBatch,
  matryoshkaLoss,
  mseLoss,
  multipleNegativesRankingLoss,
  recordGraphs,
  trainableTensors,
  type TrainingLoss,
} from '@sentvec/training';
import { loadTrainable, onnxEngine } from '@sentvec/training/node';
import { tfjsEngine } from '@sentvec/training/tfjs';
import { plainStep } from './plain-step.ts';

interface GoldenStep {
  readonly loss: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly value: number;
  readonly gradient_norms: Readonly<Record<string, number>>;
  readonly gradients: Readonly<Record<string, readonly (number | readonly number[])[]>>;
}

const golden = JSON.parse(readFileSync(goldenPath('adaptive-steps.json'), 'utf8')) as {
  readonly model: string;
  readonly anchors: readonly string[];
  readonly positives: readonly string[];
  readonly cases: readonly GoldenStep[];
};

async function loadGolden() {
  const { model, reader, dimension } = await loadTrainable(goldenModel(golden.model));
  const columns = [];
  for (const texts of [golden.anchors, golden.positives])
    columns.push({ texts: await reader.tokenizer.encode(texts, reader) });
  await reader.tokenizer.dispose();
  return { model, dimension, batch: makeBatch(columns), all: new Set(trainableTensors(model).map(({ name }) => name)) };
}

/** Returns the golden entry of a tensor, whose name may have a prefix in the file. */
function byName<Value>(values: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.entries(values).find(([stored]) => stored.endsWith(`.${name}`))?.[1];
}

test.each(golden.cases.map((one) => [one.loss, one] as const))(
  '%s has the loss and the gradients of sentence-transformers, on the plain interpreter',
  async (name, { params, value, gradient_norms: norms, gradients }) => {
    const { model, batch } = await loadGolden();
    const { loss, ...rest } = params;
    const found = plainStep(model, batch, lossFromName(name, { loss, loss_params: {}, ...rest }, 'embedder'));
    expect(Math.abs(found.loss - value)).toBeLessThan(2e-5);
    let compared = 0;
    for (const [tensor, gradient] of found.gradients) {
      const norm = byName(norms, tensor)!;
      expect.soft(Math.abs(Math.hypot(...Array.from(gradient)) - norm), tensor).toBeLessThan(1e-4 * norm + 1e-5);
      const entries = byName(gradients, tensor)?.flat();
      if (entries === undefined) continue;
      compared++;
      const worst = Math.max(...entries.map((entry, i) => Math.abs(entry - gradient[i]!)));
      expect.soft(worst, tensor).toBeLessThan(1e-4 * norm + 1e-5);
    }
    expect(compared).toBeGreaterThan(0);
  },
);

test('onnxruntime and TensorFlow.js compute the same step', async () => {
  const { model, dimension, batch, all } = await loadGolden();
  const losses = golden.cases.map(({ loss, params: { loss: inner, ...rest } }) =>
    lossFromName(loss, { loss: inner, ...rest }, 'embedder'),
  );
  const objectives = losses.map((loss) => ({ loss, columns: 2 }));
  const options = { objectives, trained: all, dropout: false, optimizer: { clipNorm: Infinity } };
  for (const engine of [
    onnxEngine(recordGraphs(model, dimension, options)),
    await tfjsEngine(model, { ...options, device: 'wasm' }),
  ]) {
    for (const [objective, { value, gradient_norms: norms }] of golden.cases.entries()) {
      const { loss, gradientNorm } = await engine.step({ batches: [batch], objective, learningRate: 0 });
      expect.soft(Math.abs(loss - value), engine.name).toBeLessThan(1e-4);
      const norm = Math.hypot(...Object.values(norms));
      expect.soft(Math.abs(gradientNorm / norm - 1), engine.name).toBeLessThan(1e-4);
    }
    await engine.dispose();
  }
});

test('the seed determines which layers and dimensions a step draws', async () => {
  const { model, dimension, batch, all } = await loadGolden();
  const inner = multipleNegativesRankingLoss();
  const off = { divergenceWeight: 0 };
  const losses: TrainingLoss[] = [
    adaptiveLayerLoss(inner, { ...off, layersPerStep: 1 }),
    adaptiveLayerLoss(inner, { ...off, layersPerStep: -1 }),
    adaptiveLayerLoss(inner, { ...off, priorLayersWeight: 0 }),
    matryoshkaLoss(inner, [36, 9], [1, 1], { dimsPerStep: 1 }),
    matryoshkaLoss(inner, [36]),
    matryoshkaLoss(inner, [9]),
  ];
  const objectives = losses.map((loss) => ({ loss, columns: 2 }));
  const engine = onnxEngine(recordGraphs(model, dimension, { objectives, trained: all, dropout: false }));
  const lossOf = async (objective: number, seed = 0) =>
    (await engine.step({ batches: [batch], objective, learningRate: 0, seed })).loss;
  const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
  const drawn = [];
  for (const seed of seeds) drawn.push(await lossOf(0, seed));
  expect(await lossOf(0, 3)).toBe(drawn[2]);
  const kinds = [...new Set(drawn)];
  expect(kinds).toHaveLength(2);
  // The model has two layers: the mean of both draws, less the last layer that each has, is what all layers give.
  expect((kinds[0]! + kinds[1]!) / 2).toBeCloseTo(await lossOf(1), 4);
  expect(Math.min(...kinds)).toBeGreaterThan(await lossOf(2));
  const sizes = [];
  for (const seed of seeds) sizes.push((await lossOf(3, seed)).toFixed(4));
  expect(new Set(sizes)).toEqual(new Set([(await lossOf(4)).toFixed(4), (await lossOf(5)).toFixed(4)]));
  await engine.dispose();
});

test('unsupported combinations of loss and model are refused', async () => {
  const { model, dimension, all } = await loadGolden();
  const loss = adaptiveLayerLoss(multipleNegativesRankingLoss());
  const record = (of: typeof model, changes: object) =>
    recordGraphs(of, dimension, { objectives: [{ loss, columns: 2 }], trained: all, dropout: false, ...changes });
  expect(() => record(model, { cachedExamples: 2 })).toThrow('AdaptiveLayerLoss cannot cache gradients');
  const { model: table } = await loadTrainable(goldenModel('st6-static'));
  expect(() => record(table, {})).toThrow('it has no layers');
  expect(() => adaptiveLayerLoss(mseLoss(), { layersPerStep: 0 })).toThrow('"n_layers_per_step" must be');
  expect(() => adaptiveLayerLoss(mseLoss(), { weighting: 'square' as 'log' })).toThrow(
    '"layer_weighting" must be one of',
  );
  expect(() => lossFromName('Matryoshka2dLoss', { loss: 'MSELoss' })).toThrow(
    'Matryoshka2dLoss needs "matryoshka_dims"',
  );
});
