// Model folders in buckets: each file is copied into the cache once, in the version that it had when the model was
// opened.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBackend } from '@sentvec/architectures';
import { loadEmbedder, openModel } from '@sentvec/core/node';
import { goldenExpectation, goldenModel, startS3, type ObjectCall, type S3Server } from '@sentvec/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { sha256 } from './hub-fixture.ts';

const golden = goldenModel('tiny-bert');
const address = 's3://bucket/models/tiny';
const before = { ...process.env };
let server: S3Server;
let cache: string;
let calls: ObjectCall[] = [];

beforeAll(async () => {
  server = await startS3();
});
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'sentvec-models-'));
  Object.assign(process.env, server.environment, { SENTVEC_CACHE: cache });
  server.objects().clear();
  for (const path of await golden.list()) server.put(`models/tiny/${path}`, await golden.read(path));
  server.put('models/tiny/pytorch_model.bin', 'of another library');
  calls = [];
  server.setFault((call) => void calls.push(call));
});
afterEach(() => rm(cache, { recursive: true }));
afterAll(async () => {
  for (const name of [...Object.keys(server.environment), 'SENTVEC_CACHE']) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
  await server.close();
});

/** The paths of the files that were read, in order. */
function reads(): string[] {
  const objects = calls.filter(({ method, key }) => method === 'GET' && key !== '');
  return objects.map(({ key }) => key.slice('models/tiny/'.length));
}

it('reads only files that sentvec uses, weights on demand, and each file once', async () => {
  const [model, other] = await Promise.all([openModel(address), openModel(`${address}/`)]);
  expect(model.name).toBe(address);
  expect(await model.list()).toEqual(await golden.list());
  expect(reads()).not.toContain('model.safetensors');
  await Promise.all([model.read('model.safetensors'), other.read('model.safetensors')]);
  for (const path of await golden.list()) {
    expect(sha256(await model.read(path))).toBe(sha256(await golden.read(path)));
    expect(await model.sha256!(path)).toBe(sha256(await golden.read(path)));
  }
  expect(reads().toSorted()).toEqual(await golden.list());
  calls = [];
  const again = await openModel(address);
  await again.read('model.safetensors');
  expect(reads()).toEqual([]);
  expect(again.revision).toBe(model.revision);
});

it('a model in a bucket gives the same vectors as a local folder', async () => {
  const texts = goldenExpectation('tiny-bert').cases.map(({ text }) => text);
  const embedder = await loadEmbedder(address, { backend: plainBackend() });
  const local = await loadEmbedder(golden, { backend: plainBackend() });
  const [{ vectors }, expected] = await Promise.all([embedder.embed(texts), local.embed(texts)]);
  expect(vectors.data).toEqual(expected.vectors.data);
  expect(await embedder.fingerprint()).toEqual(await local.fingerprint());
  await Promise.all([embedder.dispose(), local.dispose()]);
});

it('a model whose files changed since it was opened fails, and is another model when it is opened again', async () => {
  const model = await openModel(address);
  server.put('models/tiny/model.safetensors', 'other weights');
  await expect(model.read('model.safetensors')).rejects.toMatchObject({
    code: 'io-failed',
    details: { changed: true },
  });
  const again = await openModel(address);
  expect(again.revision).not.toBe(model.revision);
  expect(Buffer.from(await again.read('model.safetensors')).toString()).toBe('other weights');
});

it.each([
  [
    's3://bucket/models/none',
    /s3:\/\/bucket\/models\/none is not a model folder: it contains no files\. Pass the address of the folder/u,
  ],
  ['s3://bucket/models', /is not a model folder: it has no config\.json/u],
  ['s3://none/model', /There is no bucket none/u],
  ['https://host/model', /https:\/\/host\/model cannot be a model: it is not in object storage\. Use a local folder/u],
  ['hf://datasets/o/n/model', /cannot be a model/u],
  ['s3://key:secret@bucket/model', /^s3:\/\/…@bucket\/model cannot be used/u],
])('refuses %s and says what to do', async (name, expected) => {
  await expect(openModel(name)).rejects.toThrow(expected);
});

it('refuses options that only hub models have', async () => {
  await expect(openModel(address, { revision: 'v1' })).rejects.toThrow(/has no revisions/u);
  await expect(openModel(address, { offline: true })).rejects.toThrow(/cannot be loaded offline/u);
});
