import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { SentvecError } from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import { parseTrainingConfig, trainFromConfig } from '@sentvec/training/node';
import { jsonLines, samplePairs } from './sample-pairs.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-train-'));
  await writeFile(join(folder, 'pairs.jsonl'), jsonLines(samplePairs(160)));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const pairs = { file: 'pairs.jsonl', columns: ['a', 'b'], label: 'score' };
function configuration(output: string, changes: object = {}) {
  return {
    model: goldenPath('models/tiny-bert-multipool'),
    output,
    data: [{ ...pairs, loss: 'CosineSimilarityLoss' }],
    evaluation: { ...pairs, type: 'sts' },
    epochs: 2,
    batchSize: 8,
    learningRate: 1e-3,
    ...changes,
  };
}
const run = (config: unknown, options: { signal?: AbortSignal; onProgress?: (progress: { step: number }) => void } = {}) =>
  trainFromConfig(parseTrainingConfig(config, 'config.json'), { openModel: directoryModel, directory: folder, ...options });

/** The error that something ends with. */
async function errorOf(work: () => Promise<unknown>): Promise<SentvecError> {
  const error: unknown = await work().catch((caught: unknown) => caught);
  if (SentvecError.is(error)) return error;
  throw new Error(`Expected a SentvecError, got ${String(error)}`);
}

test('a trained folder scores what training said, on onnxruntime and on the plain interpreter', async () => {
  const { output, outcome } = await run(configuration('trained'));
  const [before, ...after] = outcome.history.evaluations;
  expect(Math.max(...after.map(({ score }) => score))).toBeGreaterThan(before!.score + 0.05);
  const texts = samplePairs(6, 9).flatMap(({ a, b }) => [a, b]);
  const vectors: Float32Array[] = [];
  for (const backend of [onnx(), plainBackend()]) {
    const embedder = await loadEmbedder(output, { backend });
    vectors.push((await embedder.embed(texts)).vectors.data);
    await embedder.dispose();
  }
  const largest = vectors[0]!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = vectors[0]!.reduce((most, value, i) => Math.max(most, Math.abs(value - vectors[1]![i]!)), 0);
  expect(worst / largest).toBeLessThan(1e-5);
  const card = await readFile(join(output, 'README.md'), 'utf8');
  expect(card).toContain('| pairs.jsonl | 160 | 2 | CosineSimilarityLoss');
  const report = await readFile(join(output, 'report.html'), 'utf8');
  expect(report).toContain('<polyline');
  expect(report).not.toMatch(/https?:\/\//);
});

test('aborted, it leaves a checkpoint and nothing that looks like a model', async () => {
  const controller = new AbortController();
  const config = configuration('aborted');
  const error = await errorOf(() => run(config, { signal: controller.signal, onProgress: ({ step }) => step === 5 && controller.abort() }));
  expect(error.code).toBe('aborted');
  await expect(directoryModel(join(folder, 'aborted'))).rejects.toThrow(SentvecError);
  expect((await errorOf(() => run(config))).message).toContain('--resume');
});

test.each([
  ['an unknown key', { learningrate: 1 }, 'invalid-argument', 'learningrate'],
  [
    'a missing column',
    { data: [{ ...pairs, columns: ['a', 'c'], loss: 'CoSENTLoss' }] },
    'invalid-corpus',
    'no column "c". Its columns: a, b, score',
  ],
  ['an unknown loss', { data: [{ ...pairs, loss: 'NoLoss' }] }, 'invalid-argument', 'CosineSimilarityLoss'],
  [
    'an unknown parameter of a loss',
    { data: [{ ...pairs, loss: 'CoSENTLoss', lossParameters: { temperature: 1 } }] },
    'invalid-argument',
    'scale',
  ],
  ['a label out of range', { data: [{ ...pairs, labelScale: 0.1, loss: 'CosineSimilarityLoss' }] }, 'invalid-corpus', 'row '],
  [
    'labels that are no classes',
    { data: [{ ...pairs, columns: ['a'], loss: 'BatchHardTripletLoss' }] },
    'invalid-corpus',
    'whole number of a class',
  ],
  [
    'a batch of one for in-batch negatives',
    { batchSize: 1, data: [{ ...pairs, loss: 'MultipleNegativesRankingLoss' }] },
    'invalid-corpus',
    'at least 2',
  ],
  ['too few columns', { data: [{ ...pairs, loss: 'TripletLoss' }] }, 'invalid-corpus', 'needs 3 columns'],
  ['no label', { data: [{ ...pairs, label: undefined, loss: 'CoSENTLoss' }] }, 'invalid-corpus', 'label'],
  ['a file that is not there', { data: [{ ...pairs, file: 'no.jsonl', loss: 'CoSENTLoss' }] }, 'invalid-corpus', 'no.jsonl'],
  ['a frozen tensor that is none', { freeze: ['nothing.'] }, 'invalid-argument', 'nothing.'],
  ['everything frozen', { freeze: ['embeddings', 'encoder', 'projection'] }, 'invalid-argument', 'nothing to train'],
  ['a learning rate out of range', { learningRate: 5 }, 'invalid-argument', 'learningRate'],
])('%s is a clear error', async (_, changes, code, words) => {
  const error = await errorOf(async () => run(configuration('broken', changes)));
  expect(error.code).toBe(code);
  expect(error.message).toContain(words);
});

test.each([
  ['empty', '', 'no examples'],
  ['of one class', jsonLines(samplePairs(10).map((pair) => ({ ...pair, score: 1 }))), 'at least two classes'],
])('data that is %s is a clear error', async (name, content, words) => {
  const file = `${name}.jsonl`;
  await writeFile(join(folder, file), content);
  const error = await errorOf(() => run(configuration('broken', { data: [{ ...pairs, file, loss: 'ContrastiveLoss' }] })));
  expect(error.code).toBe('invalid-corpus');
  expect(error.message).toContain(words);
});

test('a learning rate that diverges stops the run, says where, and leaves no model', async () => {
  const config = configuration('diverged', {
    learningRate: 1,
    epochs: 20,
    clipNorm: 0,
    warmup: 0.9,
    data: [{ ...pairs, loss: 'CoSENTLoss' }],
  });
  const error = await errorOf(() => run(config));
  expect(error.code).toBe('training-failed');
  expect(error.message).toMatch(/step \d+, rows .* of pairs.jsonl.*lower/s);
  await expect(directoryModel(join(folder, 'diverged'))).rejects.toThrow(SentvecError);
});
