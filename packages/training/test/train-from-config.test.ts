import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { SentvecError } from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { samplePairs } from './sample-pairs.ts';
import { errorOf, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();

test('a trained folder scores what training said, on onnxruntime and on the plain interpreter', async () => {
  const { output, outcome } = await place.run(place.config('trained'));
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
  const history = (await readFile(join(output, 'history.jsonl'), 'utf8')).trimEnd().split('\n');
  const lines = history.map((line) => JSON.parse(line) as { step: number; loss?: number; score?: number });
  expect(lines.filter(({ loss }) => loss !== undefined).map(({ step }) => step)).toEqual(
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  expect(lines.flatMap(({ step, score }) => (score === undefined ? [] : [[step, score]]))).toEqual(
    outcome.history.evaluations.map(({ step, score }) => [step, score]),
  );
  expect(lines.map(({ step }) => step)).toEqual(lines.map(({ step }) => step).toSorted((a, b) => a - b));
  const report = await readFile(join(output, 'report.html'), 'utf8');
  expect(report).toContain('<polyline');
  expect(report).not.toMatch(/https?:\/\//);
  expect(card).toContain('](curves.svg)');
  expect((await readFile(join(output, 'curves.svg'), 'utf8')).match(/<polyline/g)).toHaveLength(4);
});

test('aborted, it leaves a checkpoint and nothing that looks like a model', async () => {
  const controller = new AbortController();
  const config = place.config('aborted');
  const error = await errorOf(() =>
    place.run(config, { signal: controller.signal, onProgress: ({ step }) => step === 5 && controller.abort() }),
  );
  expect(error.code).toBe('aborted');
  await expect(directoryModel(place.file('aborted'))).rejects.toThrow(SentvecError);
  expect((await errorOf(() => place.run(config))).message).toContain('`resume`');
});
