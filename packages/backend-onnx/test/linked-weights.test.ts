// Recorded models that refer to the weights of the model's folder, in half precision too.
import { copyFile, cp, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { directoryModel } from '@sentvec/core/node';
import { goldenExpectation, goldenModel } from '@sentvec/testing';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordModel } from '../src/recorded-model.ts';

/** Its weights are stored as bfloat16. */
const name = 'tiny-qwen3-causal-lm';
const golden = goldenExpectation(name);

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sentvec-linked-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function freshModel(): Promise<string> {
  const folder = await mkdtemp(join(root, 'model-'));
  await cp(goldenModel(name).directory, folder, { recursive: true });
  return folder;
}

/** The recorded model, made or found in the cache. */
async function record(folder: string, cache: string): Promise<string> {
  const { model } = await recordModel(await directoryModel(folder), {
    pairs: false,
    caches: cache,
    large: { all: 0, one: 0 },
  });
  if (typeof model !== 'string') throw new Error('The model was recorded in memory.');
  return model;
}

/** The largest difference from the golden token embeddings. */
async function differenceOf(model: string): Promise<number> {
  const session = await InferenceSession.create(model, { logSeverityLevel: 4 });
  let difference = 0;
  for (const { ids, token_embeddings: expected } of golden.cases) {
    if (expected === undefined) continue;
    const indices = (numbers: readonly number[]): Tensor =>
      new Tensor('int64', BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
    const outputs = await session.run({ input_ids: indices(ids), attention_mask: indices(ids.map(() => 1)) });
    const found = outputs['last_hidden_state']!.data as Float32Array;
    for (const [i, value] of expected.flat().entries()) difference = Math.max(difference, Math.abs(found[i]! - value));
  }
  await session.release();
  return difference;
}

const tolerance = golden.measured.token_tolerance!;

describe('a model that refers to its weights', () => {
  it('gives the golden vectors, and takes next to nothing in the cache', async () => {
    const [folder, cache] = [await freshModel(), await mkdtemp(join(root, 'cache-'))];
    const model = await record(folder, cache);
    expect(await differenceOf(model)).toBeLessThan(tolerance);
    const linked = await stat(join(model, '../model.safetensors'));
    expect(linked.ino).toBe((await stat(join(folder, 'model.safetensors'))).ino);
    // Rotary positions are computed; all else is in the folder of the model.
    expect((await stat(join(model, '../model.onnx_data'))).size).toBe(2 * 512 * 8 * 4);
    const session = await InferenceSession.create(model, { logSeverityLevel: 4 });
    expect(session.inputNames).toEqual(['input_ids', 'attention_mask']);
    await session.release();
  });

  it('refers to the current file, even when the one before was overwritten and removed', async () => {
    const [folder, cache] = [await freshModel(), await mkdtemp(join(root, 'cache-'))];
    const weights = join(folder, 'model.safetensors');
    await copyFile(weights, `${weights}.old`);
    const model = await record(folder, cache);
    // The file that the cache refers to gets other contents, and another file with the old ones takes its place.
    await writeFile(weights, new Uint8Array((await stat(weights)).size));
    await rm(weights);
    await copyFile(`${weights}.old`, weights);
    await rm(`${weights}.old`);
    expect(await record(folder, cache)).toBe(model);
    expect(await differenceOf(model)).toBeLessThan(tolerance);
  });

  it('has a copy where the file cannot be linked', async ({ skip }) => {
    const shared = await stat('/dev/shm').catch(() => undefined);
    skip(shared?.dev === (await stat(root)).dev || shared === undefined, 'there is no second file system for a cache');
    const cache = await mkdtemp('/dev/shm/sentvec-cache-');
    try {
      const folder = await freshModel();
      const model = await record(folder, cache);
      expect(await differenceOf(model)).toBeLessThan(tolerance);
      const copied = await stat(join(model, '../model.safetensors'));
      expect(await record(folder, cache)).toBe(model);
      expect((await stat(join(model, '../model.safetensors'))).ino).toBe(copied.ino);
      expect((await readdir(join(model, '..'))).sort()).toEqual([
        'model.onnx',
        'model.onnx_data',
        'model.safetensors',
        'model.safetensors.copied',
      ]);
    } finally {
      await rm(cache, { recursive: true, force: true });
    }
  });
});
