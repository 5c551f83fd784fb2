import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { beforeAll, expect, test } from 'vitest';
import { plainBackend, plainReference, readEncoder, recordEncoder } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { tfjs } from '@sentvec/backend-tfjs';
import { applyProjections, encodeSelfCheck, selfCheckFile, selfCheckText, type Backend } from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { goldenExpectation, goldenPath } from '@sentvec/testing';
import { makeNativeProject, nativeAbsence } from '../../backend-tfjs/test/native-project.ts';
import { samplePairs } from './sample-pairs.ts';
import { TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();
const texts = samplePairs(8, 9).flatMap(({ a, b }) => [a, b]);
let expected: Float32Array;

/** Files that published folders have beside the weights, all of which speak of the weights before the training. */
const oldFiles = [
  'onnx/model.onnx_data',
  'onnx/model_quantized.onnx',
  'onnx/model_O4.onnx',
  'onnx/quantize_config.json',
  'onnx/config.json',
  'openvino/openvino_model.xml',
  'openvino/openvino_model.bin',
  'openvino/config.json',
  'model.int8.onnx',
  'model.safetensors.index.json',
  'model-00001-of-00002.safetensors',
  'adapter_model.safetensors',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
  'tf_model.h5',
  'flax_model.msgpack',
  'rust_model.ot',
  'model-q8_0.gguf',
  'coreml/model.mlpackage/Data/weights.bin',
  'ort_config.json',
  'quantization.json',
  'training_args.bin',
  'train_script.py',
  'similarity_evaluation_sts-dev_results.csv',
  'eval/similarity_evaluation_results.csv',
  '2_Normalize/model.onnx',
  'history.jsonl',
  'report.html',
  'curves.svg',
];
const carriedFiles = ['LICENSE', 'special_tokens_map.json', 'modeling_custom.py', 'vocab.txt'];

/** A model that has files in every form that weights come in, and the self-check of its weights. */
async function modelWithEverything(): Promise<string> {
  const folder = place.file('source');
  await cp(goldenPath('models/tiny-bert'), folder, { recursive: true });
  for (const path of [...oldFiles, ...carriedFiles.filter((name) => !existsSync(join(folder, name)))]) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), `of the old weights: ${path}`);
  }
  const files = await directoryModel(folder);
  await mkdir(join(folder, 'onnx'), { recursive: true });
  await writeFile(join(folder, 'onnx/model.onnx'), recordEncoder(await readEncoder(files)));
  const ids = goldenExpectation('tiny-bert').cases[3]!.ids.slice(0, 4);
  const embeddings = await plainReference(files, selfCheckText(ids));
  if ('reason' in embeddings) throw new Error(embeddings.reason);
  await writeFile(join(folder, selfCheckFile), encodeSelfCheck({ ids, embeddings }));
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object;
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, torch_dtype: 'float16' }));
  return folder;
}

beforeAll(async () => {
  const model = await modelWithEverything();
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

/** The largest difference from the plain interpreter's vectors. */
function worst(actual: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!)), 0);
}

test('no file that speaks of the old weights survives, all others do', async () => {
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

test('the weights have changed by more than a self-check of the old ones would accept', async () => {
  const embedder = await loadEmbedder(place.file('source'), { backend: plainBackend() });
  const { vectors } = await embedder.embed(texts);
  await embedder.dispose();
  expect(worst(vectors.data)).toBeGreaterThan(1e-2);
});

test('a trained folder gives the same vectors on onnxruntime as on the plain interpreter', async () => {
  expect(worst(await vectorsOf(onnx()))).toBeLessThan(1e-5);
});

test('a trained folder gives the same vectors on TensorFlow.js, WebAssembly', async () => {
  expect(worst(await vectorsOf(tfjs({ device: 'wasm' })))).toBeLessThan(1e-5);
});

test.skipIf(nativeAbsence)(
  `a trained folder gives the same vectors on TensorFlow.js, native${nativeAbsence ? `: ${nativeAbsence}` : ''}`,
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

test('a trained folder gives the same vectors in @huggingface/transformers, from its onnx/model.onnx', async () => {
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
