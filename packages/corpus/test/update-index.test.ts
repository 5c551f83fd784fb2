import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  embedCorpus,
  openEmbeddings,
  openIndex,
  updateIndex,
  verifyEmbeddings,
  type CorpusRequest,
  type UpdateIndexOptions,
} from '@sentvec/corpus';
import { describe, expect, it } from 'vitest';
import { fakeEmbedder, fakeVector } from './fake-embedder.ts';
import { workspace } from './workspace.ts';

const space = workspace();
const embedder = fakeEmbedder();
const row = (id: number | string, text = `text of ${id}`) => ({ id, text, kind: 'old' });
const jsonl = (rows: readonly object[]) => rows.map((each) => `${JSON.stringify(each)}\n`).join('');

async function folder(ids: readonly (number | string)[], request: Partial<CorpusRequest> = {}): Promise<string> {
  const input = await space.write('rows.jsonl', jsonl(ids.map((id) => row(id))));
  const output = space.path('vectors');
  const columns = ['text', 'kind'];
  await embedCorpus({ inputs: [input], output, chunkRows: 2, idField: 'id', columns, ...request }, embedder);
  return output;
}

/** Reads all texts by id, and checks each vector against its text. */
async function read(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { ids, texts, vectors } of (await openEmbeddings(directory)).batches())
    for (const [index, id] of ids.entries()) {
      expect(found).not.toHaveProperty(String(id));
      found[String(id)] = texts![index]!;
      const own = [...vectors.data.subarray(index * vectors.cols, (index + 1) * vectors.cols)];
      const isExact = own.every((value, col) => value === fakeVector(texts![index]!)[col]);
      expect(isExact || 'precision' in vectors).toBe(true);
    }
  expect((await verifyEmbeddings(directory)).damaged).toEqual([]);
  return found;
}

describe.each(['parquet', 'npy', 'arrow', 'jsonl'] as const)('a folder of %s', (format) => {
  it('rows are added, replaced and removed; readers that were opened before see no change', async () => {
    const directory = await folder([1, 2, 3, 4, 5], { format });
    const opened = await openIndex(directory, { embedder });
    const rows = [row(3, 'another three'), row(6), row(7, 'not the last'), row(7, 'the last seven')];
    const update = await updateIndex(directory, { embedder, rows, remove: [5, 99, '1'] });
    expect(update).toMatchObject({ added: 2, replaced: 1, removed: 2, unknown: 1, manifest: { rows: 5 } });
    const expected = { 2: 'text of 2', 3: 'another three', 4: 'text of 4', 6: 'text of 6', 7: 'the last seven' };
    expect(await read(directory)).toEqual(expected);
    const index = await openIndex(directory, { embedder });
    expect(index.rows).toBe(5);
    for (const by of ['meaning', 'words', 'both'] as const) {
      const hits = await index.search('text of 5 another', { by, topK: 20 });
      for (const { id, text } of hits) expect(text).toBe(expected[id as keyof typeof expected]);
      expect(by === 'words' || hits.length === 5).toBe(true);
    }
    expect(await opened.search('text', { topK: 20 })).toHaveLength(5);
    expect((await opened.search('text of 5', { by: 'words', topK: 1 }))[0]!.id).toBe(5);
    // Repeat until no rows are left.
    expect(await updateIndex(directory, { remove: [2, 3, 4, 6] })).toMatchObject({ removed: 4, manifest: { rows: 1 } });
    expect(await read(directory)).toEqual({ 7: 'the last seven' });
    expect(await updateIndex(directory, { embedder, rows: [row(2)], remove: [7] })).toMatchObject({
      added: 1,
      removed: 1,
    });
    expect(await read(directory)).toEqual({ 2: 'text of 2' });
    expect((await readdir(directory)).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

it('vectors of new rows are quantized like the existing ones', async () => {
  const directory = await folder(['a', 'b', 'c'], { precision: 'int8' });
  const { manifest } = await openEmbeddings(directory);
  const { manifest: after } = await updateIndex(directory, { embedder, rows: [row(5), row('b')] });
  expect(after.calibration).toEqual(manifest.calibration);
  expect(Object.keys(await read(directory)).sort()).toEqual(['5', 'a', 'b', 'c']);
});

it('rows in pieces are replaced and removed as a whole', async () => {
  const directory = await folder([1, 2, 3], { pieces: { maxTokens: 2 } });
  const before = (await openEmbeddings(directory)).manifest;
  expect(before).toMatchObject({ rows: 3, pieces: 6 });
  const update = await updateIndex(directory, { embedder, rows: [row(2, 'one two three four five')], remove: [1] });
  expect(update).toMatchObject({ added: 0, replaced: 1, removed: 1, manifest: { rows: 2, pieces: 5 } });
  const found: string[] = [];
  for await (const { ids, pieces, texts } of (await openEmbeddings(directory)).batches())
    ids.forEach((id, index) => found.push(`${id} ${pieces![index]!.piece} ${texts![index]}`));
  expect(found).toEqual(['3 0 text of', '3 1 3', '2 0 one two', '2 1 three four', '2 2 five']);
});

it('an interrupted update from files changes nothing and can be continued', async () => {
  const directory = await folder([1, 2, 3]);
  const files = [await space.write('new.jsonl', jsonl([3, 4, 5, 6, 7].map((id) => row(id, `new ${id}`))))];
  const manifest = await readFile(join(directory, 'manifest.json'), 'utf8');
  const stopped = fakeEmbedder({ poison: (text) => text === 'new 7' });
  await expect(updateIndex(directory, { embedder: stopped, inputs: files })).rejects.toMatchObject({
    code: 'invalid-corpus',
  });
  expect(await readFile(join(directory, 'manifest.json'), 'utf8')).toBe(manifest);
  expect(Object.keys(await read(directory))).toEqual(['1', '2', '3']);
  const other = [await space.write('other.jsonl', jsonl([row(9)]))];
  await expect(updateIndex(directory, { embedder, inputs: other })).rejects.toThrow(/Repeat the interrupted update/);
  const asked: string[] = [];
  const watched = fakeEmbedder({ onEmbed: (texts) => void asked.push(...texts) });
  const update = await updateIndex(directory, { embedder: watched, inputs: files });
  expect(update).toMatchObject({ added: 4, replaced: 1, removed: 0 });
  expect(asked).not.toContain('new 3'); // Its shard was finished.
  expect(asked).toContain('new 7');
  expect(await read(directory)).toMatchObject({ 3: 'new 3', 7: 'new 7' });
  // The same files again: existing rows are replaced by equal ones.
  expect(await updateIndex(directory, { embedder, inputs: files })).toMatchObject({ added: 0, replaced: 5 });
});

it('removed rows can be added again, and repeating an update also applies its removals', async () => {
  const directory = await folder([1, 2, 3]);
  const files = [await space.write('new.jsonl', jsonl([row(5), row(6)]))];
  await updateIndex(directory, { embedder, inputs: files });
  await updateIndex(directory, { remove: [5] });
  expect(await updateIndex(directory, { embedder, inputs: files })).toMatchObject({ added: 1, replaced: 1 });
  expect(await read(directory)).toMatchObject({ 5: 'text of 5', 6: 'text of 6' });
  const update = await updateIndex(directory, { embedder, inputs: files, remove: [2, 99] });
  expect(update).toMatchObject({ added: 0, replaced: 2, removed: 1, unknown: 1 });
  expect(Object.keys(await read(directory))).toEqual(['1', '3', '5', '6']);
});

it('leftovers of an interrupted update are not used after the folder was embedded again', async () => {
  const directory = await folder([1, 2, 3], { precision: 'int8' });
  const files = [await space.write('new.jsonl', jsonl([row(5), row(6, 'poison')]))];
  const stopped = fakeEmbedder({ poison: (text) => text === 'poison' });
  await expect(updateIndex(directory, { embedder: stopped, inputs: files })).rejects.toMatchObject({
    code: 'invalid-corpus',
  });
  const others = [await space.write('others.jsonl', jsonl([row(7, 'other'), row(8, 'texts'), row(9, 'altogether')]))];
  const request = { inputs: others, output: directory, chunkRows: 2, idField: 'id', columns: ['text', 'kind'] };
  const manifest = await embedCorpus({ ...request, precision: 'int8', overwrite: true }, embedder);
  const after = await updateIndex(directory, { embedder, inputs: files });
  expect(after.manifest.calibration).toEqual(manifest.calibration);
  expect(Object.keys(await read(directory))).toEqual(['5', '6', '7', '8', '9']);
  expect((await readdir(directory)).filter((name) => name.startsWith('.'))).toEqual([]);
});

it('concurrent updates that add rows are all applied', async () => {
  const directory = await folder([1]);
  await Promise.all([5, 6, 7].map((id) => updateIndex(directory, { embedder, rows: [row(id)] })));
  expect(Object.keys(await read(directory))).toEqual(['1', '5', '6', '7']);
  expect((await verifyEmbeddings(directory)).damaged).toEqual([]);
});

it('concurrent updates that remove rows are all applied', async () => {
  const directory = await folder([1, 2, 3, 4]);
  await Promise.all([2, 3, 4].map((id) => updateIndex(directory, { remove: [id] })));
  expect(await read(directory)).toEqual({ 1: 'text of 1' });
});

it('resuming the original run does not restore removed rows', async () => {
  const directory = await folder([1, 2, 3]);
  await updateIndex(directory, { remove: [2] });
  const request = { inputs: [space.path('rows.jsonl')], output: directory, chunkRows: 2, idField: 'id' };
  const columns = ['text', 'kind'];
  expect(await embedCorpus({ ...request, columns, resume: true }, embedder)).toMatchObject({ rows: 2 });
  await space.write('rows.jsonl', jsonl([row(1), row(2), row(8)]));
  await expect(embedCorpus({ ...request, columns, retryRejected: true }, embedder)).rejects.toThrow(
    /removed or replaced/,
  );
  expect(Object.keys(await read(directory))).toEqual(['1', '3']);
  await embedCorpus({ ...request, columns, overwrite: true }, embedder);
  expect(Object.keys(await read(directory))).toEqual(['1', '2', '8']);
});

it.each<[title: string, request: Partial<CorpusRequest>, options: UpdateIndexOptions, code: string]>([
  ['nothing to do', {}, { embedder }, 'invalid-argument'],
  ['rows without a model', {}, { rows: [row(9)] }, 'invalid-argument'],
  ['rows and files', {}, { embedder, rows: [row(9)], inputs: ['x'] }, 'invalid-argument'],
  ['an option that it does not have', {}, { delete: [1] } as object, 'invalid-argument'],
  ['a model of another space', {}, { embedder: fakeEmbedder({ model: 'other' }), rows: [row(9)] }, 'space-mismatch'],
  ['ids that are row numbers', { idField: undefined }, { embedder, rows: [row(9)] }, 'invalid-output'],
  ['an id of another type', {}, { embedder, rows: [row('nine')] }, 'invalid-corpus'],
  ['a row without its fields', {}, { embedder, rows: [{ id: 9 }] }, 'invalid-corpus'],
])('refuses %s, and changes nothing', async (_, request, options, code) => {
  const directory = await folder([1, 2, 3], request);
  const before = await readFile(join(directory, 'manifest.json'), 'utf8');
  await expect(updateIndex(directory, options)).rejects.toMatchObject({ code });
  expect(await readFile(join(directory, 'manifest.json'), 'utf8')).toBe(before);
  expect((await verifyEmbeddings(directory)).damaged).toEqual([]);
});

it('refuses a folder without vectors', async () => {
  await expect(updateIndex(space.path('none'), { remove: [1] })).rejects.toMatchObject({ code: 'invalid-output' });
});
