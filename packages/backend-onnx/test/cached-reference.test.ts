import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { directoryModel } from '@sentvec/core/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cachedReference } from '../src/cached-reference.ts';

let folder: string;
const batch = { rows: 1, cols: 2, ids: Int32Array.of(5, 7), mask: Int32Array.of(1, 1) };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-references-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('a reference is computed once for the same weights and tokens, and again when its file is damaged', async () => {
  const caches = join(folder, 'cache');
  const weights = join(folder, 'model.safetensors');
  await writeFile(weights, 'the weights');
  let computed = 0;
  const ask = async (asked = batch) => {
    const model = await directoryModel(folder);
    const compute = async () => ({ data: Float32Array.of(0.1, -2, 3e-8, (computed += 1)), rows: 2, cols: 2 });
    return cachedReference(model, asked, compute, caches);
  };
  const first = await ask();
  expect(await ask()).toEqual(first);
  expect(computed).toBe(1);
  await ask({ ...batch, ids: Int32Array.of(5, 8) });
  expect(computed).toBe(2);
  await writeFile(weights, 'others');
  await ask();
  expect(computed).toBe(3);
  const references = join(caches, 'references');
  for (const name of await readdir(references)) {
    const bytes = await readFile(join(references, name));
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(join(references, name), bytes);
  }
  await ask();
  expect(computed).toBe(4);
});
