import { expect, test } from 'vitest';
import { memoryModel, readWeights, SentvecError, writeSafetensors, type ModelFiles } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { lossFromName, train, type TrainingCheckpoint } from '@sentvec/training';
import { loadTrainable } from '@sentvec/training/node';
import { goldenModel } from '@sentvec/testing';
import { jsonLines, samplePairs } from './sample-pairs.ts';
import { scriptedEngine } from './scripted-engine.ts';
import { errorOf, pairs, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const classes = ['x', 'y', 'y'].flatMap((name, i) => [{ text: `one ${i}`, name, list: [1, 2] }]);

test.each([
  ['an unknown key', { learningrate: 1 }, 'invalid-argument', 'learningrate'],
  [
    'a missing column',
    { data: [{ ...pairs, columns: ['a', 'c'], loss: 'CoSENTLoss' }] },
    'invalid-corpus',
    'row 0 (line 1): There is no field "c"; the row has a, b, score',
  ],
  ['an unknown loss', { data: [{ ...pairs, loss: 'NoLoss' }] }, 'invalid-argument', 'CosineSimilarityLoss'],
  [
    'an unknown parameter of a loss',
    { data: [{ ...pairs, loss: 'CoSENTLoss', lossParameters: { temperature: 1 } }] },
    'invalid-argument',
    'scale',
  ],
  [
    'a label out of range',
    { data: [{ ...pairs, labelScale: 0.1, loss: 'CosineSimilarityLoss' }] },
    'invalid-corpus',
    'row ',
  ],
  [
    'labels that are numbers but no classes',
    { data: [{ ...pairs, columns: ['a'], loss: 'BatchHardTripletLoss' }] },
    'invalid-corpus',
    'needs a class: a whole number or a name',
  ],
  [
    'a batch of one for in-batch negatives',
    { batchSize: 1, data: [{ ...pairs, loss: 'MultipleNegativesRankingLoss' }] },
    'invalid-corpus',
    'at least 2',
  ],
  ['too few columns', { data: [{ ...pairs, loss: 'TripletLoss' }] }, 'invalid-corpus', 'needs 3 columns'],
  ['no label', { data: [{ ...pairs, label: undefined, loss: 'CoSENTLoss' }] }, 'invalid-corpus', 'label'],
  [
    'a file that is not there',
    { data: [{ ...pairs, file: 'no.jsonl', loss: 'CoSENTLoss' }] },
    'invalid-corpus',
    'no.jsonl',
  ],
  ['a frozen tensor that the model does not have', { freeze: ['nothing.'] }, 'invalid-argument', 'nothing.'],
  [
    'dropout of a model that has none',
    { model: { fromScratch: { config: { model_type: 'static-embedding', hidden_size: 8 } } }, dropout: true },
    'invalid-argument',
    'has no dropout',
  ],
  ['everything frozen', { freeze: ['embeddings', 'encoder', 'projection'] }, 'invalid-argument', 'nothing to train'],
  [
    'a list of numbers where one belongs',
    { data: [{ file: 'classes.jsonl', columns: ['text', 'text'], label: 'list', loss: 'CoSENTLoss' }] },
    'invalid-corpus',
    'not a list of 2',
  ],
  ['a number where a vector belongs', { data: [{ ...pairs, loss: 'MSELoss' }] }, 'invalid-corpus', 'needs a vector'],
  [
    'a target vector of another length',
    { data: [{ file: 'classes.jsonl', columns: ['text'], label: 'list', loss: 'MSELoss' }] },
    'invalid-corpus',
    "vectors of dimension 2, but the model's vectors have dimension 40",
  ],
  [
    'margins for other negatives',
    { data: [{ ...pairs, columns: ['a', 'b', 'a', 'b', 'a'], loss: 'MarginMSELoss' }] },
    'invalid-corpus',
    'needs 3 numbers',
  ],
  [
    'a Matryoshka size beyond the vectors',
    { data: [{ ...pairs, loss: 'MatryoshkaLoss', lossParameters: { loss: 'CoSENTLoss', dims: [64, 8] } }] },
    'invalid-argument',
    'the dimension of the vectors is 40',
  ],
  [
    'AnglE on an odd size',
    { data: [{ ...pairs, loss: 'MatryoshkaLoss', lossParameters: { loss: 'AnglELoss', dims: [40, 7] } }] },
    'invalid-argument',
    'even dimension, not 7',
  ],
  [
    'an unknown type of evaluation',
    { evaluation: { ...pairs, type: 'accuracy' } },
    'invalid-argument',
    'evaluation.type',
  ],
  [
    'an evaluation without its label',
    { evaluation: { ...pairs, label: undefined, type: 'binary' } },
    'invalid-argument',
    'binary needs a "label"',
  ],
  [
    'an evaluation with too few columns',
    { evaluation: { ...pairs, label: undefined, type: 'triplet' } },
    'invalid-argument',
    'anchor, positive, negative',
  ],
  [
    'an evaluation with a prompt that the model does not have',
    { evaluation: { ...pairs, type: 'sts', prompt: 'passage' } },
    'invalid-argument',
    'no prompt "passage"',
  ],
  [
    'an evaluation with the prompts of another',
    { evaluation: { ...pairs, type: 'sts', queryPrompt: 'query' } },
    'invalid-argument',
    'use "prompt" for sts',
  ],
  ['an evaluation with labels out of range', { evaluation: { ...pairs, type: 'reranking' } }, 'invalid-corpus', 'row '],
  [
    'an unknown key of a new model',
    { model: { fromScratch: { layers: 3 } } },
    'invalid-argument',
    'model.fromScratch.layers',
  ],
  [
    'an unknown architecture',
    { model: { fromScratch: { config: { model_type: 'gpt' } } } },
    'unsupported-model',
    'model_type "gpt"',
  ],
  [
    'a vocabulary that is too small',
    { model: { fromScratch: { vocabularySize: 9 } } },
    'invalid-argument',
    'Make it larger',
  ],
  ['a learning rate out of range', { learningRate: 5 }, 'invalid-argument', 'learningRate'],
  ['patience without an evaluation', { patience: 2, evaluation: undefined }, 'invalid-argument', 'patience'],
])('%s is a clear error', async (_, changes, code, words) => {
  await place.write('classes.jsonl', jsonLines(classes));
  const error = await errorOf(async () => place.run(place.config('broken', changes)));
  expect(error.code).toBe(code);
  expect(error.message).toContain(words);
});

test.each([
  ['MultipleNegativesRankingLoss', { scale: 0 }, 'scale'],
  ['MultipleNegativesSymmetricRankingLoss', { scale: -1 }, 'scale'],
  ['CoSENTLoss', { scale: 0 }, 'scale'],
  ['AnglELoss', { scale: -20 }, 'scale'],
  ['ContrastiveLoss', { margin: -0.1 }, 'margin'],
  ['OnlineContrastiveLoss', { margin: -0.1 }, 'margin'],
  ['TripletLoss', { margin: -1 }, 'margin'],
  ['BatchHardTripletLoss', { margin: -1 }, 'margin'],
  ['BatchAllTripletLoss', { margin: -1 }, 'margin'],
  ['MatryoshkaLoss', { loss: 'CoSENTLoss', dims: [8], weights: [-1] }, 'weights'],
  ['MatryoshkaLoss', { loss: 'CoSENTLoss', dims: [8, 0] }, 'dims'],
  ['MatryoshkaLoss', { loss: 'CoSENTLoss', dims: [8], matryoshka_dims: [4] }, 'dims'],
])('%s with %j is a clear error', async (loss, lossParameters, name) => {
  const error = await errorOf(async () =>
    place.run(place.config('broken', { data: [{ ...pairs, loss, lossParameters }] })),
  );
  expect(error.code).toBe('invalid-argument');
  expect(error.message).toContain(`${loss}: "${name}"`);
});

test.each([
  ['empty', '', 'no examples'],
  ['of one class', jsonLines(samplePairs(10).map((pair) => ({ ...pair, score: 1 }))), 'at least two classes'],
])('data that is %s is a clear error', async (name, content, words) => {
  const file = `${name}.jsonl`;
  await place.write(file, content);
  const error = await errorOf(() =>
    place.run(place.config('broken', { data: [{ ...pairs, file, loss: 'ContrastiveLoss' }] })),
  );
  expect(error.code).toBe('invalid-corpus');
  expect(error.message).toContain(words);
});

test('a learning rate that makes the embeddings collapse causes a warning, and the earlier weights are kept', async () => {
  const config = place.config('collapsed', {
    learningRate: 1,
    epochs: 3,
    clipNorm: 0,
    warmup: 0.9,
    data: [{ ...pairs, loss: 'CoSENTLoss' }],
  });
  const messages: string[] = [];
  const { outcome } = await place.run(config, { onWarning: (message) => messages.push(message) });
  expect(messages).toEqual([expect.stringMatching(/collapsed.* at step \d+, rows .* of pairs.jsonl.*lower than 1/s)]);
  const scores = outcome.history.evaluations.map(({ score }) => score);
  expect(outcome.history.evaluations.find(({ step }) => step === outcome.bestStep)!.score).toBe(Math.max(...scores));
});

test.each([
  ['not a number', { loss: Number.NaN }, 'The loss is NaN at step 6'],
  ['infinite', { loss: Infinity }, 'The loss is Infinity at step 6'],
  [
    'finite, with gradients that are not',
    { gradientNorm: Infinity },
    'The norm of the gradients is Infinity at step 6',
  ],
])(
  'a loss that is %s stops the run, names step and rows, and keeps the last good weights',
  async (_, broken, words) => {
    const { reader } = await loadTrainable(goldenModel('tiny-bert'));
    const examples = samplePairs(40);
    const columns = [examples.map(({ a }) => a), examples.map(({ b }) => b)];
    const checkpoints: TrainingCheckpoint[] = [];
    const set = {
      name: 'pairs.jsonl',
      loss: lossFromName('CoSENTLoss'),
      examples: { columns, labels: examples.map(({ score }) => score) },
    };
    const request = {
      engine: scriptedEngine((step) => (step === 5 ? broken : {})),
      reader,
      sets: [set],
      options: { batchSize: 4, checkpointEvery: 2 },
      onCheckpoint: async (checkpoint: TrainingCheckpoint) => void checkpoints.push(checkpoint),
    };
    const error = await errorOf(() => train(request));
    expect(error.code).toBe('training-failed');
    expect(error.message).toContain(words);
    expect(error.message).toMatch(
      /rows \d+, \d+, \d+, \d+ of pairs.jsonl.*Start a new run with a learning rate lower than 0.00002, or check these rows/s,
    );
    expect(error.details).toMatchObject({ file: 'pairs.jsonl', step: 6, rows: expect.any(Array) as unknown });
    expect(checkpoints.map(({ step }) => step)).toEqual([2, 4, 5]);
    expect(error.details).toMatchObject({ checkpointStep: 5 });
  },
);

test('weights that overflow stop the run at the first step, and no model folder is left', async () => {
  const golden = goldenModel('tiny-bert');
  const overflowing = async (): Promise<ModelFiles> => {
    const weights = await readWeights(golden);
    const floats = weights.names().filter((name) => weights.type(name) === 'F32');
    const tensors = floats.map((name) => {
      const { shape, data } = weights.tensor(name);
      return [
        name,
        { shape, data: name.includes('layer.1.output.dense.weight') ? data.map(() => 3e38) : data },
      ] as const;
    });
    const entries = await Promise.all(
      (await golden.list()).map(async (path) => [path, await golden.read(path)] as const),
    );
    return memoryModel('overflowing', {
      ...Object.fromEntries(entries),
      'model.safetensors': writeSafetensors(Object.fromEntries(tensors)),
    });
  };
  const error = await errorOf(() =>
    place.run(place.config('overflowed', { evaluation: undefined }), { openModel: overflowing }),
  );
  expect(error.code).toBe('training-failed');
  expect(error.message).toMatch(/NaN|Infinity/);
  expect(error.message).toMatch(/at step 1, rows .* of pairs.jsonl/);
  await expect(directoryModel(place.file('overflowed'))).rejects.toThrow(SentvecError);
});
