import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBackend } from '@sentvec/architectures';
import { createEmbedder, createPooling, memoryModel, type Fingerprint, type ModelFiles } from '@sentvec/core';
import { directoryModel, loadEmbedder, nodeTokenizer } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fakeEncoder, fakeParts } from './fake-parts.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-fingerprint-'));
  await cp(goldenPath('models/tiny-mpnet'), folder, { recursive: true });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function fingerprintOf(
  model: string | ModelFiles,
  options: Parameters<typeof loadEmbedder>[1] = {},
): Promise<Fingerprint> {
  const embedder = await loadEmbedder(model, {
    backend: plainBackend(),
    tokenizer: nodeTokenizer('javascript'),
    ...options,
  });
  try {
    return await embedder.fingerprint();
  } finally {
    await embedder.dispose();
  }
}

async function change(file: string, edit: (content: Record<string, never>) => unknown): Promise<void> {
  const path = join(folder, file);
  await writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, 'utf8')) as Record<string, never>)));
}

/** Names of the parts that differ. */
function differences(a: Fingerprint, b: Fingerprint): string[] {
  expect(a.hash === b.hash).toBe(JSON.stringify(a.parts) === JSON.stringify(b.parts));
  return Object.keys(a.parts).filter(
    (part) => a.parts[part as keyof Fingerprint['parts']] !== b.parts[part as keyof Fingerprint['parts']],
  );
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, field]) => [key, reversed(field)]),
  );
}

test('a fingerprint does not depend on the location of the folder, the order of keys, or the tokenizer library', async () => {
  const original = await fingerprintOf(goldenPath('models/tiny-mpnet'));
  expect(original.hash).toMatch(/^[0-9a-f]{64}$/u);
  for (const file of ['tokenizer.json', 'config.json', 'tokenizer_config.json', '1_Pooling/config.json'])
    await change(file, reversed);
  await change('config.json', (config) => ({ ...config, transformers_version: '9.9.9', _name_or_path: 'elsewhere' }));
  await change('tokenizer.json', (tokenizer) => ({ ...tokenizer, truncation: null, padding: null }));
  const files = await directoryModel(folder);
  const contents = await Promise.all((await files.list()).map(async (file) => [file, await files.read(file)] as const));
  expect(await fingerprintOf(folder)).toEqual(original);
  expect(await fingerprintOf(folder, { tokenizer: nodeTokenizer('native') })).toEqual(original);
  expect(await fingerprintOf(memoryModel('in memory', Object.fromEntries(contents)))).toEqual(original);
});

test('each change affects only the hash of its part', async () => {
  const original = await fingerprintOf(folder);
  expect(differences(original, await fingerprintOf(folder, { maxLength: 20 }))).toEqual(['tokenizer']);
  expect(differences(original, await fingerprintOf(folder, { pooling: 'cls' }))).toEqual(['pooling']);
  await change('config.json', (config) => ({ ...config, layer_norm_eps: 1e-6 }));
  expect(differences(original, await fingerprintOf(folder))).toEqual(['weights']);
  await cp(goldenPath('models/tiny-mpnet/config.json'), join(folder, 'config.json'));
  const weights = await readFile(join(folder, 'model.safetensors'));
  weights[weights.length - 1]! ^= 1;
  await writeFile(join(folder, 'model.safetensors'), weights);
  expect(differences(original, await fingerprintOf(folder))).toEqual(['weights']);
  await cp(goldenPath('models/tiny-mpnet/model.safetensors'), join(folder, 'model.safetensors'));
  await change('sentence_bert_config.json', (config) => ({ ...config, do_lower_case: true }));
  expect(differences(original, await fingerprintOf(folder))).toEqual(['tokenizer']);
});

test('prompt and dimension are parts of the space', async () => {
  const embedder = await loadEmbedder(folder, { backend: plainBackend(), tokenizer: nodeTokenizer('javascript') });
  const original = await embedder.fingerprint();
  expect(differences(original, await embedder.fingerprint({ prompt: 'query' }))).toEqual(['prompt']);
  expect(differences(original, await embedder.fingerprint({ truncateDim: 8 }))).toEqual(['projections', 'dimension']);
  expect(await embedder.fingerprint({ promptText: embedder.prompts['query']! })).toEqual(
    await embedder.fingerprint({ prompt: 'query' }),
  );
  expect((await embedder.embed(['a text'], { prompt: 'query' })).receipt.fingerprint).toBe(
    (await embedder.fingerprint({ prompt: 'query' })).hash,
  );
  await embedder.dispose();
});

test('weights are hashed once, a head once for each size, and a failure is not cached', async () => {
  let reads = 0;
  let broken = true;
  const model: ModelFiles = {
    ...memoryModel('model', {}),
    list: async () => ['model.safetensors'],
    read: async () => {
      reads += 1;
      if (broken) throw new Error('the disk is gone');
      return Uint8Array.of(1);
    },
  };
  const digest = vi.spyOn(crypto.subtle, 'digest');
  const weight = { data: new Float32Array(16), rows: 4, cols: 4 };
  const head = {
    pooling: createPooling('mean'),
    projections: [{ kind: 'dense', weight, activation: 'Tanh' } as const],
  };
  const embedder = createEmbedder(fakeParts({ model, head }));
  await expect(embedder.embed('a')).rejects.toThrow('the disk is gone');
  broken = false;
  const first = await embedder.fingerprint();
  expect(reads).toBe(2);
  digest.mockClear();
  expect(await embedder.fingerprint()).toEqual(first);
  expect((await embedder.embed('a')).receipt.fingerprint).toBe(first.hash);
  expect(digest).not.toHaveBeenCalled();
  await embedder.fingerprint({ promptText: 'query: ' });
  expect(digest.mock.calls.every(([, bytes]) => bytes.byteLength !== weight.data.byteLength)).toBe(true);
  digest.mockRestore();
});

test('the hashed weights are the file that the encoder reports', async () => {
  const model = memoryModel('model', {
    'onnx/model.onnx': 'a',
    'onnx/model.onnx_data': 'b',
    'onnx/model_quantized.onnx': 'c',
    'model.safetensors': 'd',
  });
  const weightsOf = async (weightsFile: string | undefined, files = model): Promise<string> =>
    (await createEmbedder(fakeParts({ model: files, encoder: fakeEncoder({ weightsFile }) })).fingerprint()).parts
      .weights;
  const graphOnly = memoryModel('other', { 'onnx/model.onnx': 'a', 'onnx/model.onnx_data': 'b' });
  const hashes = await Promise.all([
    weightsOf(undefined),
    weightsOf('onnx/model.onnx'),
    weightsOf('onnx/model_quantized.onnx'),
  ]);
  expect(new Set(hashes).size).toBe(3);
  expect(await weightsOf(undefined, graphOnly)).toBe(hashes[1]);
  const hashOf = (files: Record<string, string>): Promise<string> => weightsOf(undefined, memoryModel('other', files));
  expect(await hashOf({ 'onnx/model.onnx': 'a', 'onnx/model.onnx_data': 'B' })).not.toBe(hashes[1]);
  const graph = { 'model.onnx': 'a', 'weights.bin': 'b', 'model_int8.onnx': 'c', 'model_int8.onnx_data': 'd' };
  const graphHash = await hashOf(graph);
  expect(await hashOf({ ...graph, 'weights.bin': 'B' })).not.toBe(graphHash);
  expect(await hashOf({ ...graph, 'model_int8.onnx_data': 'D', LICENSE: 'l', 'spiece.model': 's' })).toBe(graphHash);
  const whole = { 'model.safetensors': 'd' };
  const shards = { 'model-00001-of-00002.safetensors': 'x', 'model-00002-of-00002.safetensors': 'y' };
  for (const weights of [whole, shards]) {
    const hash = await hashOf(weights);
    expect(await hashOf({ ...weights, 'README.md': 'a page', 'onnx/model.onnx': 'a' })).toBe(hash);
    const last = Object.keys(weights).at(-1)!;
    const changed = [{ [last]: 'z' }, { 'adapter_model.safetensors': 'a' }, { 'adapter_config.json': '{}' }];
    for (const files of changed) expect(await hashOf({ ...weights, ...files })).not.toBe(hash);
  }
});

test('the name and the configuration of a custom pooling affect the fingerprint', async () => {
  const pooling = createPooling('mean');
  const partOf = async (fields: object): Promise<string> =>
    (await createEmbedder(fakeParts({ head: { pooling: { ...pooling, ...fields }, projections: [] } })).fingerprint())
      .parts.pooling;
  const hashes = await Promise.all([
    partOf({}),
    partOf({ name: 'mine' }),
    partOf({ config: { power: 2 } }),
    partOf({ includePrompt: false }),
  ]);
  expect(new Set(hashes).size).toBe(4);
});
