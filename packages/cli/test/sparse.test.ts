/** Embeds a corpus with a sparse model: shards in each format, refused options, and reading. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBackend } from '@sentvec/architectures';
import { loadEmbedder, loadSparseEmbedder, type SparseEmbedder, type SparseVector } from '@sentvec/core';
import { embedCorpus, openEmbeddings, openSparseEmbeddings, verifyEmbeddings } from '@sentvec/corpus';
import { goldenModel } from '@sentvec/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Workplace } from './sentvec.ts';

const place = new Workplace();
const texts = ['the city', 'a', 'the sea and the city', 'one'];
let folder: string;
let embedder: SparseEmbedder;
let expected: readonly SparseVector[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-sparse-'));
  await writeFile(join(folder, 'texts.txt'), texts.map((text) => `${text}\n`).join(''));
  embedder = await loadSparseEmbedder(goldenModel('splade-inference-free'), { backend: plainBackend() });
  expected = (await embedder.embedDocuments(texts, { maxActiveDims: 40 })).vectors;
});
afterAll(async () => {
  await embedder.dispose();
  await rm(folder, { recursive: true, force: true });
});

const request = (name: string) => ({
  inputs: [join(folder, 'texts.txt')],
  output: join(folder, name),
  maxActiveDims: 40,
  chunkRows: 3,
});

it.each(['parquet', 'arrow', 'jsonl'] as const)('writes %s that can be read back', async (format) => {
  const manifest = await embedCorpus({ ...request(format), format }, embedder);
  expect(manifest).toMatchObject({ kind: 'sparse', dimension: 641, rows: 4, options: { maxActiveDims: 40 } });
  const found: SparseVector[] = [];
  for await (const { vectors } of (await openSparseEmbeddings(join(folder, format))).batches()) found.push(...vectors);
  expect(found).toEqual(expected);
  expect((await verifyEmbeddings(join(folder, format))).damaged).toEqual([]);
  await expect(openEmbeddings(join(folder, format))).rejects.toMatchObject({ code: 'invalid-output' });
});

it('writes JSON Lines for vector databases, and inference-free queries', async () => {
  const { shards } = await embedCorpus({ ...request('queries'), format: 'jsonl', as: 'query' }, embedder);
  const [first] = (await readFile(join(folder, 'queries', shards[0]!.file), 'utf8')).split('\n');
  const { vector } = await embedder.embedQuery('the city', { maxActiveDims: 40 });
  const { embedding } = JSON.parse(first!) as { embedding: { indices: number[]; values: number[] } };
  expect(embedding.indices).toEqual([...vector.indices]);
  expect(Float32Array.from(embedding.values)).toEqual(vector.values);
});

it('embeds a corpus, and info shows the kind of the model', async () => {
  await place.write('texts.txt', texts.map((text) => `${text}\n`).join(''));
  const model = ['--model', goldenModel('splade-inference-free').directory, '--backend', 'onnx'];
  const flags = ['--max-active-dims', '40', '--format', 'jsonl', '--output', 'out'];
  expect(await place.succeed(['embed', 'texts.txt', ...model, ...flags])).toContain('4 vectors of 641 terms');
  const shard = await place.listedName('out', 'shard-00000', '.jsonl');
  const rows = await place.readLines<{ id: number; embedding: { indices: number[] } }>(shard);
  expect(rows.map(({ id }) => id)).toEqual([0, 1, 2, 3]);
  expect(rows[0]!.embedding.indices).toEqual([...expected[0]!.indices]);
  const told = await place.succeed(['info', model[1]!, '--backend', 'onnx']);
  expect(told).toMatch(/kind +sparse/);
  expect(told).toMatch(/queries +by a table/);
});

it('adds, replaces and removes rows', async () => {
  const rows = texts.map((text, id) => ({ id, text }));
  await place.writeRows('rows.jsonl', rows);
  const model = ['--model', goldenModel('splade-inference-free').directory, '--backend', 'onnx'];
  const flags = ['--max-active-dims', '40', '--id', 'id', '--output', 'updated'];
  await place.succeed(['embed', 'rows.jsonl', ...model, ...flags]);
  await place.writeRows('new.jsonl', [
    { id: 1, text: texts[2] },
    { id: 9, text: texts[3] },
  ]);
  const { stdout, stderr } = await place.run([
    'update',
    'updated',
    'new.jsonl',
    '--remove',
    '0,77',
    '--backend',
    'onnx',
  ]);
  expect(stdout).toBe('updated: 1 added, 1 replaced, 1 removed; 4 rows now.\n');
  expect(stderr).toContain('1 of the ids to remove do not exist');
  const found = new Map<unknown, SparseVector>();
  for await (const { ids, vectors } of (await openSparseEmbeddings(place.path('updated'))).batches())
    ids.forEach((id, index) => found.set(id, vectors[index]!));
  expect([...found.keys()]).toEqual([2, 3, 1, 9]);
  expect(found.get(1)!.indices).toEqual(expected[2]!.indices);
  expect(await place.succeed(['verify', 'updated'])).toContain('updated is whole');
  expect((await place.run(['update', 'updated'])).code).toBe(2);

  await place.write('gone.txt', '\uFEFF2\r\n\r\n9\n');
  const removed = await place.succeed(['update', 'updated', '--remove-from', 'gone.txt']);
  expect(removed).toBe('updated: 0 added, 0 replaced, 2 removed; 2 rows now.\n');
  const empty = await place.run(['update', 'updated', '--remove', '3,,1']);
  expect([empty.code, empty.stderr]).toEqual([2, expect.stringContaining('has an empty id')]);
});

it('refuses options for dense vectors, and refuses sparse options with dense models', async () => {
  for (const wrong of [{ precision: 'int8' }, { truncateDim: 4 }, { normalize: true }, { format: 'npy' }] as const)
    await expect(embedCorpus({ ...request('refused'), ...wrong }, embedder)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('sparse vectors'),
    });
  await using dense = await loadEmbedder(goldenModel('tiny-bert'), { backend: plainBackend() });
  await expect(embedCorpus(request('refused'), dense)).rejects.toThrow(/maxActiveDims/);
});
