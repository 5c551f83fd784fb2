import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBackend, plainReference } from '@sentvec/architectures';
import { memoryModel } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { expect, it } from 'vitest';
import { batchOf } from './encoding.ts';
import { randomModel, tinyConfigs } from './models.ts';

const batch = batchOf([[2, 7, 5, 3]], 0);

/** A configuration that is large enough to be computed in a worker thread. */
const largeConfig = { ...tinyConfigs['bert'], hidden_size: 384, intermediate_size: 1536, num_hidden_layers: 1 };

it.each(Object.keys(tinyConfigs))('plainReference() equals the plain backend: %s', async (name) => {
  const model = await randomModel(tinyConfigs[name]!);
  expect(await plainReference(model, batch)).toEqual(await (await plainBackend().load(model)).encode(batch));
});

it('plainReference() returns the same numbers from a worker thread for a large model on disk', async () => {
  const model = await randomModel(largeConfig);
  const folder = await mkdtemp(join(tmpdir(), 'sentvec-reference-'));
  try {
    for (const path of await model.list()) await writeFile(join(folder, path), await model.read(path));
    expect(await plainReference(await directoryModel(folder), batch)).toEqual(await plainReference(model, batch));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it('plainReference() returns a reason for a model without safetensors and for a model that is too large', async () => {
  const model = await randomModel(tinyConfigs['bert']!);
  const config = new TextDecoder().decode(await model.read('config.json'));
  expect(await plainReference(memoryModel('shipped', { 'config.json': config, 'onnx/model.onnx': '' }), batch)).toEqual(
    {
      reason: expect.stringMatching(/shipped has no safetensors/),
    },
  );
  const huge = { ...largeConfig, hidden_size: 8192, intermediate_size: 32_768, num_hidden_layers: 40 };
  const files = memoryModel('huge', { 'config.json': JSON.stringify(huge), 'model.safetensors': '' });
  expect(await plainReference(files, batch)).toEqual({ reason: expect.stringMatching(/huge is too large/) });
});
