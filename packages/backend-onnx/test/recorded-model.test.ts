import { mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { memoryModel, readWeights, writeSafetensors, type ModelFiles, type TokenBatch } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sentvec-onnx-recorded-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const freshCache = (): Promise<string> => mkdtemp(join(root, 'cache-'));
const tiny = goldenModel('tiny-bert');
const batch: TokenBatch = { ids: Int32Array.of(2, 40, 3), mask: Int32Array.of(1, 1, 1), rows: 1, cols: 3 };

async function embed(files: ModelFiles, cacheDirectory: string): Promise<Float32Array> {
  const encoder = await onnx({ sessions: 2, cacheDirectory }).load(files);
  const { data } = await encoder.encode(batch);
  await encoder.dispose();
  return data;
}

async function recordings(cache: string): Promise<string[]> {
  return (await readdir(join(cache, 'onnx'))).sort();
}

it('records once, whatever the model is called and wherever it lies', async () => {
  const cache = await freshCache();
  const first = await embed(tiny, cache);
  const [recording, ...others] = await recordings(cache);
  expect(others).toEqual([]);
  const written = await stat(join(cache, 'onnx', recording!, 'model.onnx'));
  const contents = {
    'config.json': await tiny.read('config.json'),
    'model.safetensors': await tiny.read('model.safetensors'),
  };
  for (const files of [await directoryModel(tiny.directory), memoryModel('copy', contents)])
    expect(await embed(files, cache)).toEqual(first);
  expect(await recordings(cache)).toEqual([recording]);
  expect((await stat(join(cache, 'onnx', recording!, 'model.onnx'))).mtimeMs).toBe(written.mtimeMs);
});

it('records again when configuration or weights differ', async () => {
  const cache = await freshCache();
  const config = {
    ...(JSON.parse(Buffer.from(await tiny.read('config.json')).toString()) as object),
    layer_norm_eps: 1e-3,
  };
  const weights = await readWeights(tiny);
  const halved = Object.fromEntries(
    weights.names().map((name) => {
      if (weights.type(name) !== 'F32') return [name, weights.integers(name)];
      const { shape, data } = weights.tensor(name);
      return [name, { shape, data: data.map((value) => value / 2) }];
    }),
  );
  const original = {
    'config.json': await tiny.read('config.json'),
    'model.safetensors': await tiny.read('model.safetensors'),
  };
  const results = [
    await embed(memoryModel('m', original), cache),
    await embed(memoryModel('m', { ...original, 'config.json': JSON.stringify(config) }), cache),
    await embed(memoryModel('m', { ...original, 'model.safetensors': writeSafetensors(halved) }), cache),
  ];
  expect((await recordings(cache)).length).toBe(3);
  expect(new Set(results.map((result) => result[0])).size).toBe(3);
});

it('works at once from several loads, and leaves nothing unfinished', async () => {
  const cache = await freshCache();
  const [first, ...others] = await Promise.all(Array.from({ length: 4 }, () => embed(tiny, cache)));
  for (const other of others) expect(other).toEqual(first);
  expect((await recordings(cache)).filter((name) => name.includes('.'))).toEqual([]);
});

it('works without a cache that can be written to', async () => {
  const file = join(await freshCache(), 'a-file');
  await writeFile(file, '');
  expect(await embed(tiny, join(file, 'cache'))).toEqual(await embed(tiny, await freshCache()));
});

it('ignores an unfinished recording, and makes one that is broken again', async () => {
  const cache = await freshCache();
  const expected = await embed(tiny, cache);
  const [recording] = await recordings(cache);
  await rm(join(cache, 'onnx', recording!), { recursive: true });
  await mkdir(join(cache, 'onnx', `${recording}.unfinished`));
  expect(await embed(tiny, cache)).toEqual(expected);
  for (const file of ['model.onnx', 'model.onnx_data']) {
    const path = join(cache, 'onnx', recording!, file);
    const { size } = await stat(path);
    await truncate(path, 100);
    expect(await embed(tiny, cache)).toEqual(expected);
    expect((await stat(path)).size).toBe(size);
  }
});
