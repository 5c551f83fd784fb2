import { rm } from 'node:fs/promises';
import { env, pipeline } from '@huggingface/transformers';
import { beforeAll, expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { tfjs } from '@sentvec/backend-tfjs';
import { applyProjections, type Backend } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import { makeNativeProject, nativeAbsence } from '../../backend-tfjs/test/native-project.ts';
import { samplePairs } from './sample-pairs.ts';
import { TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const texts = samplePairs(8, 9).flatMap(({ a, b }) => [a, b]);
let expected: Float32Array;

beforeAll(async () => {
  await place.run(place.config('trained', { model: goldenPath('models/tiny-bert'), evaluation: undefined }));
  expected = await vectorsOf(plainBackend());
});

async function vectorsOf(backend: Backend): Promise<Float32Array> {
  const embedder = await loadEmbedder(place.file('trained'), { backend });
  const { vectors } = await embedder.embed(texts);
  await embedder.dispose();
  return vectors.data;
}

/** The largest difference from the plain interpreter's vectors. */
function worst(actual: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!)), 0);
}

test('a trained folder gives the same vectors on onnxruntime as on the plain interpreter', async () => {
  expect(worst(await vectorsOf(onnx()))).toBeLessThan(1e-5);
});

test('and on TensorFlow.js, WebAssembly', async () => {
  expect(worst(await vectorsOf(tfjs({ device: 'wasm' })))).toBeLessThan(1e-5);
});

test.skipIf(nativeAbsence)(`and on TensorFlow.js, native${nativeAbsence ? `: ${nativeAbsence}` : ''}`, async () => {
  const { folder, entry } = await makeNativeProject();
  try {
    const native = (await import(entry.href)) as typeof import('@sentvec/backend-tfjs');
    expect(worst(await vectorsOf(native.tfjs({ device: 'tfjs-node-gpu' })))).toBeLessThan(1e-5);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('and in @huggingface/transformers, from its onnx/model.onnx', async () => {
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
