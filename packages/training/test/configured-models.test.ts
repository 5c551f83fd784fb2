import { expect, test } from 'vitest';
import { onnx } from '@sentvec/backend-onnx';
import { goldenExpectation, goldenPath } from '@sentvec/testing';
import { loadEmbedder } from '@sentvec/core/node';
import { evaluationTypes, parseTrainingConfig, trainingConfigSchema } from '@sentvec/training/node';
import { jsonLines, samplePairs } from './sample-pairs.ts';
import { pairs, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();

/** Pairs with the columns that each kind of evaluation needs. */
const rows = samplePairs(60, 3).map(({ a, b, score }, row) => ({
  a,
  b,
  other: `${b} units`,
  score,
  same: Number(score > 0.5),
  class: row % 2 === 0 ? 'even' : 'odd',
}));

test.each([
  ['sts', { columns: ['a', 'b'], label: 'score' }, 'spearman_cosine'],
  ['triplet', { columns: ['a', 'b', 'other'] }, 'accuracy_cosine'],
  ['binary', { columns: ['a', 'b'], label: 'same' }, 'cosine_ap'],
  ['retrieval', { columns: ['a', 'b'] }, 'dot_ndcg@10'],
  ['reranking', { columns: ['class', 'b'], label: 'same' }, 'map'],
  ['paraphrases', { columns: ['a', 'b'] }, 'average_precision'],
  ['classification', { columns: ['a'], label: 'class' }, 'knn_accuracy'],
  ['classification', { columns: ['a'], label: 'class', known: 'judged.jsonl' }, 'linear_accuracy'],
  ['clustering', { columns: ['a'], label: 'class' }, 'v_measure'],
])('the evaluation %s runs during training: %j', async (type, columns, metric) => {
  await place.write('judged.jsonl', jsonLines(rows));
  const evaluation = { type, file: 'judged.jsonl', ...columns };
  const { outcome } = await place.run(place.config(`judged-by-${metric}`, { evaluation, maxSteps: 2 }));
  expect(outcome.history.evaluations.map(({ step }) => step)).toEqual([0, 2]);
  for (const { score, metrics } of outcome.history.evaluations) {
    expect(score).toBeGreaterThanOrEqual(-1);
    expect(score).toBeLessThanOrEqual(1);
    expect(metrics).toHaveProperty([metric]);
  }
});

test('class labels can be strings', async () => {
  await place.write('intents.jsonl', jsonLines(rows));
  const data = [{ file: 'intents.jsonl', columns: ['a'], label: 'class', loss: 'BatchHardTripletLoss' }];
  const { outcome } = await place.run(place.config('intents', { data, evaluation: undefined, maxSteps: 3 }));
  expect(outcome.steps).toBe(3);
});

test('a model from scratch: a tokenizer and random weights from the data, trained and written as a folder', async () => {
  const model = {
    fromScratch: {
      config: { hidden_size: 32, num_hidden_layers: 1, intermediate_size: 64 },
      vocabularySize: 120,
      maxLength: 32,
    },
  };
  const { output, outcome } = await place.run(place.config('scratch', { model }));
  const [before, ...after] = outcome.history.evaluations;
  expect(Math.max(...after.map(({ score }) => score))).toBeGreaterThan(before!.score);
  const embedder = await loadEmbedder(output, { backend: onnx() });
  expect([embedder.dimension, embedder.maxLength]).toEqual([32, 32]);
  await embedder.dispose();
});

test('the adapter of a task is merged in before the training, and the trained folder has no tasks any more', async () => {
  const name = 'tiny-jina3-tasks';
  const { cases, tasks = {} } = goldenExpectation(name);
  const task = 'retrieval.passage';
  const changes = {
    model: goldenPath(`models/${name}`),
    task,
    maxSteps: 1,
    learningRate: 1e-12,
    evaluation: undefined,
  };
  const { output } = await place.run(place.config('adapted', changes));
  await using embedder = await loadEmbedder(output, { backend: onnx() });
  const { vectors, receipt } = await embedder.embed(
    cases.map(({ text }) => text),
    { prompt: null },
  );
  const gaps = tasks[task]!.flat().map((value, i) => Math.abs(value - vectors.data[i]!));
  expect(Math.max(...gaps)).toBeLessThan(5e-5);
  expect(receipt).toMatchObject({ notes: [], task: undefined });
});

test('the configuration has a JSON Schema, and its property $schema is accepted', () => {
  const schema = trainingConfigSchema() as {
    properties: Record<string, { properties?: Record<string, { enum?: unknown }> }>;
  };
  expect(Object.keys(schema.properties)).toEqual(
    expect.arrayContaining(['model', 'data', 'evaluation', 'learningRate']),
  );
  expect(schema.properties['evaluation']!.properties!['type']!.enum).toEqual(evaluationTypes);
  const config = { $schema: './sentvec.schema.json', output: 'out', data: [{ ...pairs, loss: 'CoSENTLoss' }] };
  expect(parseTrainingConfig(config, 'config.json')).toMatchObject({ model: 'use-lite', epochs: 1 });
});
