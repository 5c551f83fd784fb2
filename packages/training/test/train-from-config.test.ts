import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { SentvecError } from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { goldenPath } from '@sentvec/testing';
import { evaluateSts } from '@sentvec/training';
import { jsonLines, samplePairs } from './sample-pairs.ts';
import { errorOf, pairs, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();

test('a trained folder has the score that training reported, on onnxruntime and on the plain interpreter', async () => {
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

/** Starts a run and aborts it at a step. */
async function abortedAt(step: number, config: object) {
  const controller = new AbortController();
  const error = await errorOf(() =>
    place.run(config, {
      signal: controller.signal,
      onProgress: (progress) => progress.step === step && controller.abort(),
    }),
  );
  expect(error.code).toBe('aborted');
  return error;
}

const weightsIn = (output: string) => readFile(place.file(join(output, 'model.safetensors')));

test('an aborted run leaves a checkpoint, names its path, and leaves no model folder', async () => {
  const config = place.config('aborted');
  const error = await abortedAt(5, config);
  const checkpoint = place.file('aborted.checkpoint.safetensors');
  expect(error.message).toContain(`The weights of step 5 are in ${checkpoint}`);
  expect(error.details).toMatchObject({ checkpointStep: 5, checkpoint });
  await expect(directoryModel(place.file('aborted'))).rejects.toThrow(SentvecError);
  expect((await errorOf(() => place.run(config))).message).toMatch(/is there already\. Continue with `resume`/);
});

test('resume accepts moved data files and watchDivergence off, and names other differences in data, model or settings', async () => {
  await writeFile(place.file('copy.jsonl'), await readFile(place.file('pairs.jsonl')));
  await cp(goldenPath('models/tiny-bert-multipool'), place.file('same-model'), { recursive: true });
  const config = place.config('moving', { dropout: true });
  await place.run(place.config('unmoved', { dropout: true }));
  await abortedAt(7, config);
  const moved = { data: [{ ...pairs, file: 'copy.jsonl', loss: 'CosineSimilarityLoss' }], dropout: true };
  const differing = async (changes: object) =>
    (await errorOf(() => place.run({ ...config, ...changes }, { resume: true }))).details['differing'];
  await writeFile(place.file('other.jsonl'), (await readFile(place.file('pairs.jsonl'), 'utf8')).replace('fox', 'dog'));
  const otherData = [{ ...pairs, file: 'other.jsonl', loss: 'CosineSimilarityLoss' }];
  expect(await differing({ data: otherData })).toEqual(['data 0']);
  expect(await differing({ evaluation: { ...pairs, file: 'other.jsonl', type: 'sts' } })).toEqual(['evaluation']);
  expect(await differing({ model: goldenPath('models/tiny-bert') })).toEqual(['model']);
  expect(await differing({ learningRate: 1e-4, seed: 1 })).toEqual(['learningRate', 'seed']);
  expect(await differing({ data: [{ ...pairs, loss: 'CoSENTLoss' }] })).toEqual(['settings of data 0']);
  const unimportant = { checkpointEvery: 3, watchDivergence: false };
  await place.run({ ...config, ...moved, model: place.file('same-model'), ...unimportant }, { resume: true });
  expect((await weightsIn('moving')).equals(await weightsIn('unmoved'))).toBe(true);
});

test('resume refuses a data file whose content has changed', async () => {
  const file = await place.write('changing.jsonl', jsonLines(samplePairs(80)));
  const config = place.config('changed', { data: [{ ...pairs, file, loss: 'CosineSimilarityLoss' }] });
  await abortedAt(3, config);
  await place.write('changing.jsonl', jsonLines(samplePairs(80, 2)));
  const error = await errorOf(() => place.run(config, { resume: true }));
  expect(error).toMatchObject({ code: 'invalid-argument', details: { differing: ['data 0'] } });
});

test('resume without a checkpoint starts at the first step and reports that', async () => {
  const messages: string[] = [];
  const { outcome } = await place.run(place.config('unresumed', { maxSteps: 2 }), {
    resume: true,
    onWarning: (message) => messages.push(message),
  });
  expect(outcome.steps).toBe(2);
  expect(messages).toEqual([expect.stringMatching(/^There is no checkpoint .*unresumed\.checkpoint\.safetensors: /)]);
});

test('finish writes a model with the best weights of the checkpoint, without training', async () => {
  const config = place.config('finished', { evaluateEvery: 2 });
  expect((await errorOf(() => place.run(config, { finish: true }))).message).toContain('There is no checkpoint');
  await abortedAt(9, config);
  const { outcome } = await place.run(config, { finish: true, onProgress: () => expect.unreachable() });
  expect(outcome.steps).toBe(9);
  expect(outcome.history.steps).toHaveLength(9);
  const best = outcome.history.evaluations.reduce((a, b) => (b.score > a.score ? b : a));
  expect(outcome.bestStep).toBe(best.step);
  const embedder = await loadEmbedder(place.file('finished'), { backend: onnx() });
  const examples = samplePairs(160);
  const scored = {
    first: examples.map(({ a }) => a),
    second: examples.map(({ b }) => b),
    scores: Float32Array.from(examples, ({ score }) => score),
  };
  const embed = async (texts: readonly string[]) => (await embedder.embed(texts)).vectors;
  const judged = await evaluateSts(embed, scored, embedder.similarityFunction);
  await embedder.dispose();
  expect(judged.score).toBeCloseTo(best.score, 4);
  expect((await readdir(place.path)).filter((name) => name.startsWith('finished.'))).toEqual([]);
});

test('the model card has Python code only if Python can load the model, and states the number of examples', async () => {
  const repeated = Array.from({ length: 40 }, (_, i) => ({ a: i < 20 ? 'the same' : `text ${i}`, b: `other ${i}` }));
  const file = await place.write('repeated.jsonl', jsonLines(repeated));
  const data = [{ file, columns: ['a', 'b'], loss: 'MultipleNegativesRankingLoss' }];
  const card = async (output: string, model: string) => {
    const config = place.config(output, { model, data, evaluation: undefined, maxSteps: 1 });
    const openModel = async (name: string) => (name === 'use-lite' ? useLite() : directoryModel(name));
    await place.run(config, { openModel, onWarning: () => undefined });
    return readFile(place.file(join(output, 'README.md')), 'utf8');
  };
  const known = await card('in-python', goldenPath('models/tiny-bert'));
  expect(known).toContain('```python');
  expect(known).toContain('library_name: sentence-transformers');
  expect(known).toMatch(/\| repeated\.jsonl \| \d+ of 40 \| 2 \|/);
  const unknown = await card('only-here', 'use-lite');
  expect(unknown).not.toMatch(/python|library_name|sentence-transformers/);
  expect(unknown).toContain('```ts');
});
