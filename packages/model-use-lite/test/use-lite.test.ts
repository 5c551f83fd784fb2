import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { pairwiseSimilarity } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { checkHash } from '../src/hashes.ts';

// Converting and embedding take their time on a busy machine: no test here is about speed.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

let cache: string;

beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'sentvec-use-lite-'));
});

afterAll(async () => {
  await rm(cache, { recursive: true, force: true });
});

describe('useLite', () => {
  it('refuses an option that it does not have', async () => {
    await expect(useLite({ cache } as object)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('useLite() has no option "cache". It has '),
    });
  });

  it('makes a sentence-transformers folder in the cache', async () => {
    const model = await useLite({ cacheDirectory: cache });
    expect(model.name).toBe('use-lite');
    expect(model.directory.startsWith(cache)).toBe(true);
    expect(await model.list()).toEqual([
      '1_Pooling/config.json',
      '2_Dense/config.json',
      '2_Dense/model.safetensors',
      '3_Normalize/config.json',
      'config.json',
      'config_sentence_transformers.json',
      'model.safetensors',
      'modules.json',
      'onnx/model_int8.onnx',
      'self-check.json',
      'sentence_bert_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
  });

  it('converts once', async () => {
    const { directory } = await useLite({ cacheDirectory: cache });
    const before = await stat(join(directory, 'model.safetensors'));
    await useLite({ cacheDirectory: cache });
    const after = await stat(join(directory, 'model.safetensors'));
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
  });

  it('finds the cache by SENTVEC_CACHE', async () => {
    const before = process.env['SENTVEC_CACHE'];
    process.env['SENTVEC_CACHE'] = cache;
    try {
      expect((await useLite()).directory.startsWith(cache)).toBe(true);
    } finally {
      if (before === undefined) delete process.env['SENTVEC_CACHE'];
      else process.env['SENTVEC_CACHE'] = before;
    }
  });

  it.each(['model.safetensors', 'tokenizer.json', '1_Pooling/config.json'])('repairs a damaged %s', async (path) => {
    const { directory } = await useLite({ cacheDirectory: cache });
    const sound = await readFile(join(directory, path));
    await writeFile(join(directory, path), sound.subarray(0, sound.length - 1));
    await useLite({ cacheDirectory: cache });
    expect((await readFile(join(directory, path))).equals(sound)).toBe(true);
  });

  it('can be made by several callers at once, and leaves nothing else behind', async () => {
    const other = join(cache, 'other');
    const models = await Promise.all(Array.from({ length: 4 }, () => useLite({ cacheDirectory: other })));
    expect(new Set(models.map(({ directory }) => directory)).size).toBe(1);
    expect(await readdir(join(other, 'models'))).toHaveLength(1);
  });

  it('says what to do when the cache cannot be written', async () => {
    const file = join(cache, 'a-file');
    await writeFile(file, '');
    await expect(useLite({ cacheDirectory: file })).rejects.toMatchObject({
      code: 'io-failed',
      message: expect.stringMatching(/a-file.*SENTVEC_CACHE/),
    });
  });

  it('leaves nothing behind when it is aborted', async () => {
    const other = join(cache, 'aborted');
    await expect(useLite({ cacheDirectory: other, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    await expect(readdir(other, { recursive: true }).catch(() => [])).resolves.not.toContainEqual(
      expect.stringContaining('.safetensors'),
    );
  });
});

describe('checkHash', () => {
  it('gives both hashes of bytes that are not the expected ones', async () => {
    const nothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    expect(await checkHash(new Uint8Array(), nothing)).toBeUndefined();
    expect(await checkHash(new Uint8Array(), 'ab')).toBe(`its SHA-256 is ${nothing}, not ab`);
  });
});

it('has an int8 form, which is made when it is read, and is near to float32', async () => {
  const model = await useLite();
  expect(await model.list()).toContain('onnx/model_int8.onnx');
  expect(await model.size!('onnx/model_int8.onnx')).toBeLessThan(9e6);
  const texts = ['A cat sleeps on the mat.', 'A kitten naps.', 'Interest rates rose again in the third quarter.'];
  const embed = async (variant: string | undefined) => {
    const embedder = await loadEmbedder(model, { backend: onnx({ variant }) });
    try {
      return { ...(await embedder.embed(texts)), file: embedder.encoder.weightsFile };
    } finally {
      await embedder.dispose();
    }
  };
  const [float, int8] = [await embed(undefined), await embed('model_int8')];
  expect(float.file).toBeUndefined();
  expect(int8.file).toBe('onnx/model_int8.onnx');
  expect(Math.min(...pairwiseSimilarity(float.vectors, int8.vectors))).toBeGreaterThan(0.995);
  expect(int8.receipt.fingerprint).not.toBe(float.receipt.fingerprint);
});
