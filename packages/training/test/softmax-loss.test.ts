// SoftmaxLoss in whole training steps: its classifier is trained with the model, and is not saved.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { headOutputSize, readWeights } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { lossFromName, makeBatch, recordGraphs, softmaxLoss, type TrainingEngine } from '@sentvec/training';
import { onnxEngine, parseTrainingConfig } from '@sentvec/training/node';
import { tfjsEngine } from '@sentvec/training/tfjs';
import { column, tiny } from './tiny-model.ts';
import { errorOf, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();

/** Runs three steps with two objectives, one of which has no trainable weights. */
async function steps(engine: TrainingEngine, batches: readonly ReturnType<typeof makeBatch>[]) {
  const losses: number[] = [];
  for (const objective of [0, 1, 0, 1, 0])
    losses.push((await engine.step({ batches: [batches[objective]!], objective, learningRate: 1e-2 })).loss);
  const { weights } = await engine.state();
  await engine.dispose();
  return { losses, weights };
}

test('steps are the same with and without cached gradients and on TensorFlow.js', async () => {
  const { model, expected, all } = await tiny('tiny-bert');
  const dimension = headOutputSize(model.head, model.definition.hiddenSize);
  const columns = [column(expected.cases, [0, 1, 2, 3]), column(expected.cases, [4, 5, 3, 1])];
  const batches = [makeBatch(columns, Float32Array.of(0, 2, 1, 2)), makeBatch(columns)];
  const options = {
    objectives: [
      { loss: softmaxLoss({ labels: 3, product: true }), columns: 2 },
      { loss: lossFromName('MultipleNegativesRankingLoss'), columns: 2 },
    ],
    trained: all,
    dropout: false,
  };
  const whole = await steps(onnxEngine(recordGraphs(model, dimension, options)), batches);
  const graphs = recordGraphs(model, dimension, { ...options, cachedExamples: 3 });
  const cached = await steps(onnxEngine(graphs), batches);
  const tensorFlow = await steps(await tfjsEngine(model, { ...options, device: 'wasm', cachedExamples: 3 }), batches);
  // The untrained classifier has a loss of log 3.
  expect(whole.losses[0]).toBeGreaterThan(0.8);
  expect(whole.losses[0]).toBeLessThan(1.6);
  for (const other of [cached, tensorFlow]) {
    expect(other.losses.map((loss, i) => Math.abs(loss - whole.losses[i]!) < 1e-3)).toEqual([
      true,
      true,
      true,
      true,
      true,
    ]);
    expect(other.weights.length).toBe(whole.weights.length);
  }
  // The first steps of Adam have the size of the learning rate for any gradient, so engines may differ if a gradient is
  // nearly 0.
  const apart = cached.weights.filter((weight, i) => Math.abs(weight - whole.weights[i]!) > 1e-3).length;
  expect(apart / whole.weights.length).toBeLessThan(0.01);
});

test('a configured run reads the labels from the data, and the saved model has no classifier', async () => {
  const rows = Array.from({ length: 48 }, (_, i) => ({
    a: `a text about ${i % 2 ? 'music' : 'rivers'} number ${i}`,
    b: i % 3 === 0 ? `a text about ${i % 2 ? 'music' : 'rivers'}` : `one about numbers ${i}`,
    label: i % 3 === 0 ? 'entailment' : 'neutral',
  }));
  await place.write('nli.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
  const data = [{ file: 'nli.jsonl', columns: ['a', 'b'], label: 'label', loss: 'SoftmaxLoss' }];
  const config = place.config('nli', { data, evaluation: undefined, epochs: 6 });
  const { output, outcome } = await place.run(config);
  const { steps: all } = outcome.history;
  expect(all.at(-1)!.loss).toBeLessThan(0.7 * all[0]!.loss);
  const names = (await readWeights(await directoryModel(output))).names();
  expect(names.filter((name) => name.includes('classifier'))).toEqual([]);
  expect(await readFile(join(output, 'README.md'), 'utf8')).toContain('"num_labels":2');
});

test('labels beyond num_labels, a single label, and SoftmaxLoss within a Matryoshka loss are refused', async () => {
  await place.write('one.jsonl', '{"a":"x","b":"y","label":"same"}\n{"a":"z","b":"y","label":"same"}\n');
  await place.write('three.jsonl', '{"a":"x","b":"y","label":0}\n{"a":"z","b":"y","label":2}\n');
  const run = (file: string, lossParameters: object) =>
    place.run(
      place.config('refused', {
        data: [{ file, columns: ['a', 'b'], label: 'label', loss: 'SoftmaxLoss', lossParameters }],
        evaluation: undefined,
      }),
    );
  const one = await errorOf(() => run('one.jsonl', {}));
  expect(one).toMatchObject({ code: 'invalid-corpus', message: expect.stringContaining('all labels are 0') as string });
  const three = await errorOf(() => run('three.jsonl', { num_labels: 2 }));
  expect(three).toMatchObject({ details: { row: 1 }, message: expect.stringContaining('has 2 labels') as string });
  const inner = { loss: 'SoftmaxLoss', dims: [8] };
  const nested = { file: 'a', columns: ['a', 'b'], label: 'label', loss: 'MatryoshkaLoss', lossParameters: inner };
  expect(() => parseTrainingConfig({ output: 'x', data: [nested] }, 'config.json')).toThrow(
    'MatryoshkaLoss cannot wrap SoftmaxLoss',
  );
});
