import { readdir, readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { beforeAll, expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { tfjs } from '@sentvec/backend-tfjs';
import { applyProjections, selfCheckFile, type Backend } from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import { makeNativeProject, reasonWithoutNative } from '../../backend-tfjs/test/native-project.ts';
import { carriedFiles, writeModelWithEverything } from './model-with-everything.ts';
import { samplePairs } from './sample-pairs.ts';
import { TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const texts = samplePairs(8, 9).flatMap(({ a, b }) => [a, b]);
let expected: Float32Array;

beforeAll(async () => {
  const model = place.file('source');
  await writeModelWithEverything(model);
  await place.run(place.config('trained', { model, evaluation: undefined, learningRate: 1e-2 }));
  expected = await vectorsOf(plainBackend());
});

async function vectorsOf(backend: Backend): Promise<Float32Array> {
  const embedder = await loadEmbedder(place.file('trained'), { backend });
  const { vectors } = await embedder.embed(texts);
  await embedder.dispose();
  expect(embedder.selfCheck).toMatchObject({ state: 'passed', reference: 'stored' });
  return vectors.data;
}

/** Largest difference to the vectors of the plain interpreter. */
function worst(actual: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!)), 0);
}

test('files that depend on the old weights are not copied, but all others are', async () => {
  const found = (await readdir(place.file('trained'), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(place.file('trained'), join(entry.parentPath, entry.name)));
  const source = goldenPath('models/tiny-bert');
  const original = (await directoryModel(source).then((files) => files.list())).filter(
    (path) => path !== 'expected.json',
  );
  const made = 'README.md curves.svg history.jsonl report.html model.safetensors onnx/model.onnx'.split(' ');
  expect(found.toSorted()).toEqual([...new Set([...original, ...carriedFiles, ...made, selfCheckFile])].toSorted());
  expect(await readFile(place.file('trained/LICENSE'), 'utf8')).toBe('of the old weights: LICENSE');
  for (const path of ['curves.svg', 'history.jsonl', 'report.html'])
    expect(await readFile(place.file(`trained/${path}`), 'utf8')).not.toContain('of the old weights');
  expect(JSON.parse(await readFile(place.file('trained/config.json'), 'utf8'))).toMatchObject({
    torch_dtype: 'float32',
  });
});

test('the weights have changed so much that the self-check of the old weights would fail', async () => {
  const embedder = await loadEmbedder(place.file('source'), { backend: plainBackend() });
  const { vectors } = await embedder.embed(texts);
  await embedder.dispose();
  expect(worst(vectors.data)).toBeGreaterThan(1e-2);
});

test('a trained model computes the same vectors on onnxruntime as on the plain interpreter', async () => {
  expect(worst(await vectorsOf(onnx()))).toBeLessThan(1e-5);
});

test('a trained model computes the same vectors on TensorFlow.js with WebAssembly', async () => {
  expect(worst(await vectorsOf(tfjs({ device: 'wasm' })))).toBeLessThan(1e-5);
});

test.skipIf(reasonWithoutNative)(
  `a trained folder gives the same vectors on TensorFlow.js, native${reasonWithoutNative ? `: ${reasonWithoutNative}` : ''}`,
  async () => {
    const { folder, entry } = await makeNativeProject();
    try {
      const native = (await import(entry.href)) as typeof import('@sentvec/backend-tfjs');
      expect(worst(await vectorsOf(native.tfjs({ device: 'tfjs-node-gpu' })))).toBeLessThan(1e-5);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

test('a trained model computes the same vectors in @huggingface/transformers, from its onnx/model.onnx', async () => {
  env.allowRemoteModels = false;
  env.localModelPath = place.path;
  const extractor = await pipeline('feature-extraction', 'trained', { dtype: 'fp32' });
  const pooled = await extractor(texts, { pooling: 'mean' });
  await extractor.dispose();
  const [rows = 0, cols = 0] = pooled.dims;
  expect(
    worst(applyProjections([{ kind: 'normalize' }], { data: pooled.data as Float32Array, rows, cols }).data),
  ).toBeLessThan(1e-5);
});
