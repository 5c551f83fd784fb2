// Training of sparse embedders and late-interaction models with a configuration.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import {
  matrixOfText,
  maxSimilarity,
  memoryModel,
  sparseDot,
  spearmanCorrelation,
  type ModelFiles,
} from '@sentvec/core';
import { directoryModel, loadMultiVectorEmbedder, loadSparseEmbedder } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import { lossFromName, withTermWeights } from '@sentvec/training';
import { samplePairs } from './sample-pairs.ts';
import { errorOf, pairs, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const golden = (name: string) => goldenPath(`models/${name}`);
const examples = samplePairs(160);
const first = examples.map(({ a }) => a);
const second = examples.map(({ b }) => b);
const scores = examples.map(({ score }) => score);

async function sparseCorrelation(folder: string, backend = onnx()): Promise<number> {
  const embedder = await loadSparseEmbedder(folder, { backend });
  const [a, b] = [(await embedder.embedDocuments(first)).vectors, (await embedder.embedDocuments(second)).vectors];
  await embedder.dispose();
  return spearmanCorrelation(
    a.map((vector, row) => sparseDot(vector, b[row]!)),
    scores,
  );
}

async function lateCorrelation(folder: string, backend = onnx()): Promise<number> {
  const embedder = await loadMultiVectorEmbedder(folder, { backend });
  const [a, b] = [(await embedder.embedQuery(first)).vectors, (await embedder.embedDocuments(second)).vectors];
  await embedder.dispose();
  const found = first.map((_, row) => maxSimilarity(matrixOfText(a, row), matrixOfText(b, row)));
  return spearmanCorrelation(found, scores);
}

const ranked = { file: 'pairs.jsonl', columns: ['a', 'b'] };
const splade = {
  ...ranked,
  loss: 'SpladeLoss',
  lossParameters: { loss: 'SparseMultipleNegativesRankingLoss', document_regularizer_weight: 0.01 },
};

test.each(['splade-bert-max', 'splade-modernbert', 'splade-distilbert'])(
  '%s is fine-tuned, and its folder computes the term weights that training reported',
  async (name) => {
    const config = { kind: 'sparse', model: golden(name), data: [splade], maxSteps: 10, learningRate: 5e-4 };
    const { output, outcome } = await place.run(
      place.config(name, { ...config, cachedExamples: name.endsWith('max') ? 5 : undefined }),
    );
    const kept = outcome.history.evaluations.find(({ step }) => step === outcome.bestStep)!;
    expect(await sparseCorrelation(output)).toBeCloseTo(kept.score, 3);
    expect(await readFile(join(output, 'config.json'), 'utf8')).not.toContain('term_weights');
    expect(await readFile(join(output, 'README.md'), 'utf8')).toContain('SparseEncoder');
  },
);

test('a masked language model becomes a sparse embedder', async () => {
  const folder = await directoryModel(golden('splade-bert-max'));
  const names = (await folder.list()).filter((name) =>
    /^(?:config|model|tokenizer)\w*\.(?:json|safetensors)$/u.test(name),
  );
  const plain = names.filter((name) => name !== 'config_sentence_transformers.json');
  const files = await Promise.all(plain.map(async (name) => [name, await folder.read(name)] as const));
  const made = await withTermWeights(memoryModel('plain', Object.fromEntries(files)));
  const vectorsOf = async (model: ModelFiles) => {
    const embedder = await loadSparseEmbedder(model, { backend: plainBackend() });
    const { vectors } = await embedder.embedDocuments(first.slice(0, 3));
    await embedder.dispose();
    return vectors;
  };
  expect(await vectorsOf(made)).toEqual(await vectorsOf(folder));
});

test('cached gradients of a sparse model equal those of the whole batch', async () => {
  const config = {
    kind: 'sparse',
    model: golden('splade-bert-max'),
    data: [splade],
    evaluation: undefined,
    maxSteps: 2,
  };
  const whole = await place.run(place.config('sparse-whole', config));
  const cached = await place.run(place.config('sparse-cached', { ...config, cachedExamples: 3 }));
  for (const [index, step] of whole.outcome.history.steps.entries()) {
    const other = cached.outcome.history.steps[index]!;
    expect(other.loss).toBeCloseTo(step.loss, 4);
    expect(other.gradientNorm / step.gradientNorm).toBeCloseTo(1, 4);
  }
});

test.each(['late-bert', 'late-modernbert-expanded', 'late-pylate', 'late-stanford'])(
  '%s is fine-tuned, and its folder computes the scores that training reported',
  async (name) => {
    const data = [{ ...ranked, loss: 'MultiVectorMultipleNegativesRankingLoss' }];
    const config = { kind: 'multi-vector', model: golden(name), data, maxSteps: 10, learningRate: 3e-3 };
    const { output, outcome } = await place.run(place.config(name, config));
    const { steps, evaluations } = outcome.history;
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
    const kept = evaluations.find(({ step }) => step === outcome.bestStep)!;
    expect(await lateCorrelation(output, name === 'late-bert' ? plainBackend() : onnx())).toBeCloseTo(kept.score, 3);
  },
);

test('an encoder becomes a late-interaction model', async () => {
  const data = [{ ...ranked, loss: 'MultiVectorMultipleNegativesRankingLoss' }];
  const { output, outcome } = await place.run(place.config('late', { kind: 'multi-vector', data, maxSteps: 10 }));
  const kept = outcome.history.evaluations.find(({ step }) => step === outcome.bestStep)!;
  // The base model reads only 24 tokens, so many texts have almost equal scores, and their order depends on rounding
  // and on the backend.
  expect(await lateCorrelation(output)).toBeCloseTo(kept.score, 2);
  expect(await readFile(join(output, 'README.md'), 'utf8')).toContain('MultiVectorEncoder');
});

test('unsupported options for sparse and late-interaction models are refused with a message that names them', async () => {
  const message = async (changes: object) =>
    (await errorOf(async () => place.run(place.config('refused', changes)))).message;
  const late = { kind: 'multi-vector', data: [{ ...ranked, loss: 'MultiVectorMultipleNegativesRankingLoss' }] };
  expect(await message({ ...late, cachedExamples: 4 })).toContain('cannot cache gradients');
  const judged = { type: 'clustering', file: 'pairs.jsonl', columns: ['a'], label: 'score' };
  expect(await message({ ...late, evaluation: judged })).toContain('cannot evaluate a model of the kind multi-vector');
  const sparse = { kind: 'sparse', data: [splade] };
  expect(await message({ ...sparse, model: golden('tiny-mpnet') })).toContain('no masked-language-model head');
  expect(await message({ ...sparse, model: golden('splade-inference-free') })).toContain(
    'has different encoders for queries and documents',
  );
  expect(await message({ data: [splade] })).toContain('trains models of the kind sparse');
  expect(await message({ ...sparse, data: [{ ...pairs, loss: 'BinaryCrossEntropyLoss' }] })).toContain('kind reranker');
});

test('the default temperature of distillation is 2 for sparse embedders and 1 for dense ones', () => {
  expect(lossFromName('SparseDistillKLDivLoss', {}, 'sparse').parameters).toMatchObject({ temperature: 2 });
  expect(lossFromName('DistillKLDivLoss', {}, 'sparse').parameters).toMatchObject({ temperature: 1 });
});
