import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { similarity, type Embedder } from '@sentvec/core';
import { embedCorpus, openIndex, type CorpusIndex } from '@sentvec/corpus';
import { beforeEach, describe, expect, it } from 'vitest';
import { fakeEmbedder, fakeVector } from './fake-embedder.ts';
import { listedFile, workspace } from './workspace.ts';

const space = workspace();
const texts = [
  'the battery does not last',
  'a very good battery, it lasts for days',
  'arrived late and broken',
  'delivery was late',
  'the screen is bright',
  'bright colours on the screen, late at night',
  'no complaints',
];

async function folder(name: string, from: number, to: number, options: object = {}): Promise<string> {
  const lines = texts.slice(from, to).map((text, row) => JSON.stringify({ text, stars: (from + row) % 3 }));
  const input = await space.write(`${name}.jsonl`, lines.join('\n'));
  const output = space.path(name);
  await embedCorpus({ inputs: [input], output, chunkRows: 2, columns: ['text', 'stars'], ...options }, fakeEmbedder());
  return output;
}

/** Reference ranking: compares the query vector with every row. */
function byMeaning(query: string, among = texts.map((_, row) => row)): number[] {
  const cosine = (text: string): number => {
    const [a, b] = [fakeVector(`query${query}`), fakeVector(text)].map((vector) => ({
      data: Float32Array.from(vector),
      rows: 1,
      cols: vector.length,
    }));
    return similarity(a!, b!).data[0]!;
  };
  return among.toSorted((a, b) => cosine(texts[b]!) - cosine(texts[a]!));
}

describe('an index of several folders', () => {
  let index: CorpusIndex;
  let directories: string[];
  beforeEach(async () => {
    directories = [await folder('one', 0, 3), await folder('two', 3, 7)];
    index = await openIndex(directories, { embedder: fakeEmbedder() });
  });

  it('returns the same rows by meaning as an exhaustive comparison, with the query prompt', async () => {
    const hits = await index.search('late', { topK: 4 });
    expect(index.rows).toBe(7);
    expect(hits.map(({ row }) => row)).toEqual(byMeaning('late').slice(0, 4));
    for (const { row, text, columns, directory, score, scores } of hits) {
      expect([text, columns['stars']]).toEqual([texts[row], String(row % 3)]);
      expect(directory).toBe(directories[row < 3 ? 0 : 1]);
      expect(scores).toEqual({ meaning: score });
    }
  });

  it('finds rows by their words and ranks rare words and short rows higher', async () => {
    const hits = await index.search('late delivery', { by: 'words' });
    expect(hits.map(({ row }) => row)).toEqual([3, 2, 5]);
    expect(hits[0]!.scores).toEqual({ words: hits[0]!.score });
    expect(await index.search('nothing of that', { by: 'words', topK: 1 })).toEqual([]);
  });

  it('combines both with reciprocal rank fusion', async () => {
    const meaning = byMeaning('late delivery');
    const words = [3, 2, 5];
    const expected = texts
      .map((_, row) => {
        const place = words.indexOf(row);
        return { row, score: 1 / (61 + meaning.indexOf(row)) + (place < 0 ? 0 : 1 / (61 + place)) };
      })
      .toSorted((a, b) => b.score - a.score);
    const hits = await index.search('late delivery', { by: 'both', topK: 3 });
    expect(hits.map(({ row }) => row)).toEqual(expected.slice(0, 3).map(({ row }) => row));
    for (const [place, hit] of hits.entries()) expect(hit.score).toBeCloseTo(expected[place]!.score, 12);
    const onlyWords = { meaning: 0, words: 1 };
    const byWords = await index.search('late delivery', { by: 'both', topK: 3, weights: onlyWords });
    expect(byWords.map(({ row }) => row)).toEqual(words);
  });

  it('excludes rows by a filter and still returns topK results', async () => {
    const filter = ({ stars }: Readonly<Record<string, unknown>>): boolean => stars === '2';
    const hits = await index.search('late', { topK: 2, filter });
    expect(hits.map(({ row }) => row)).toEqual(byMeaning('late', [2, 5]));
    const byWords = await index.search('late', { by: 'words', topK: 1, filter });
    expect(byWords.map(({ row }) => row)).toEqual([2]);
  });

  it('returns all rows for a topK of Infinity, and refuses invalid searches', async () => {
    for (const by of ['meaning', 'both'] as const)
      expect(await index.search('late', { by, topK: Infinity })).toHaveLength(texts.length);
    for (const [query, options, message] of [
      ['late', { topK: 0 }, /^topK must be a whole number of at least 1, not 0/u],
      ['late', { candidates: NaN }, /^candidates must be a whole number/u],
      ['late', { filter: 'stars' }, /^filter must be a function/u],
      [7, {}, /^The query must be a string, not a number/u],
    ] as const)
      await expect(index.search(query as string, options as object)).rejects.toThrow(message);
  });

  it('refuses a filter by a column that is not stored, which would match nothing', async () => {
    for (const by of ['meaning', 'words'] as const)
      await expect(index.search('late', { by, filter: ({ starz }) => Number(starz) > 1 })).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringMatching(
          /^The filter accesses the column "starz", which was not kept\. Kept columns: .*stars/u,
        ) as string,
      });
    const filter = (columns: Readonly<Record<string, unknown>>): boolean =>
      !('starz' in columns) &&
      Object.keys(columns).includes('stars') &&
      JSON.stringify(columns).includes('"stars":"2"');
    expect((await index.search('late', { filter })).map(({ row }) => row)).toEqual(byMeaning('late', [2, 5]));
  });

  it('reorders the candidates with a reranker', async () => {
    const asked: string[][] = [];
    const reranker = {
      async rank(_: string, documents: readonly string[], { topK }: { topK: number }) {
        asked.push([...documents]);
        const hits = documents.map((text, row) => ({ row, score: text.length }));
        return hits.toSorted((a, b) => b.score - a.score).slice(0, topK);
      },
    };
    const reranked = await openIndex(directories, { embedder: fakeEmbedder(), reranker });
    const hits = await reranked.search('late', { by: 'words', topK: 2 });
    expect(asked).toEqual([[texts[3], texts[2], texts[5]]]);
    expect(hits.map(({ row }) => row)).toEqual([5, 2]);
    expect(hits[0]).toMatchObject({ score: texts[5]!.length, scores: { reranker: texts[5]!.length } });
    expect(hits[0]!.scores.words).toBeGreaterThan(0);
  });
});

it('searches quantized vectors', async () => {
  const directory = await folder('small', 0, 7, { precision: 'int8' });
  const hits = await (await openIndex(directory, { embedder: fakeEmbedder() })).search('late', { topK: 7 });
  expect(hits).toHaveLength(7);
  const place = hits.findIndex(({ row }) => row === byMeaning('late')[0]);
  expect(place).toBeLessThan(2);
});

it('caches the shards that fit into its memory limit, and returns the same results', async () => {
  const directories = [await folder('one', 0, 3), await folder('two', 3, 7)];
  const { size } = await stat(await listedFile(directories[0]!, 'shard-00000.parquet'));
  const kept = await openIndex(directories, { embedder: fakeEmbedder(), memory: size + 1 });
  const first = await kept.search('late delivery', { by: 'both', topK: 7 });
  expect(await kept.search('late delivery', { by: 'both', topK: 7 })).toEqual(first);
  const unkept = await openIndex(directories, { embedder: fakeEmbedder(), memory: 0 });
  expect(await unkept.search('late delivery', { by: 'both', topK: 7 })).toEqual(first);
  const all = await openIndex(directories, { embedder: fakeEmbedder() });
  expect(await all.search('late delivery', { by: 'both', topK: 7 })).toEqual(first);
  // The cached shard is not read again, but the others are.
  for (const directory of directories)
    for (const name of (await readdir(directory)).filter((each) => each.startsWith('shard-')))
      await rm(join(directory, name));
  expect(await all.search('late delivery', { by: 'both', topK: 7 })).toEqual(first);
  await expect(kept.search('late')).rejects.toMatchObject({ code: 'io-failed' });
});

describe('an index refuses', () => {
  it.each([
    ['a score that is not a number', [{ row: 0, score: NaN }]],
    ['a row that it did not get', [{ row: 99, score: 1 }]],
  ])('a reranker whose result has %s', async (_, ranked) => {
    const reranker = { rank: async () => ranked };
    const index = await openIndex(await folder('one', 0, 3), { embedder: fakeEmbedder(), reranker });
    await expect(index.search('late')).rejects.toMatchObject({ code: 'backend-failed' });
  });

  it('a `memory` that is not a number of bytes', async () => {
    const options = { embedder: fakeEmbedder(), memory: -1 };
    await expect(openIndex(await folder('one', 0, 3), options)).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('a folder of another vector space, and names the folder', async () => {
    const directories = [await folder('one', 0, 3)];
    const embedder: Embedder = fakeEmbedder({ model: 'other' });
    await expect(openIndex(directories, { embedder })).rejects.toMatchObject({
      code: 'space-mismatch',
      details: { file: directories[0] },
    });
  });

  it('a search by words in a folder without stored texts', async () => {
    const directory = await folder('one', 0, 3, { columns: ['stars'] });
    const index = await openIndex(directory, { embedder: fakeEmbedder() });
    await expect(index.search('late', { by: 'both' })).rejects.toMatchObject({ code: 'invalid-output' });
    expect(await index.search('late')).toHaveLength(3);
  });

  it('an unknown kind of search, and aborts only the search whose signal fires', async () => {
    const directory = await folder('one', 0, 3);
    const index = await openIndex(directory, { embedder: fakeEmbedder() });
    await expect(index.search('late', { by: 'word' as 'words' })).rejects.toMatchObject({ code: 'invalid-argument' });
    const controller = new AbortController();
    const ended = index.search('late', { by: 'words', signal: controller.signal });
    const other = index.search('late', { by: 'words' });
    controller.abort();
    await expect(ended).rejects.toMatchObject({ code: 'aborted' });
    expect((await other).map(({ row }) => row)).toEqual([2]);
  });

  it('an empty query, an empty list of folders, and unknown options', async () => {
    const directory = await folder('one', 0, 3);
    const index = await openIndex(directory, { embedder: fakeEmbedder() });
    await expect(index.search('  ')).rejects.toMatchObject({ code: 'invalid-text' });
    await expect(index.search('late', { topK: 0 })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(index.search('late', { hybrid: true } as object)).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(openIndex([], { embedder: fakeEmbedder() })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('an index of rows in pieces', () => {
  it.each(['meaning', 'words', 'both'] as const)('returns each row once, with its best piece: %s', async (by) => {
    const output = await folder('pieces', 0, 7, { pieces: { maxTokens: 3 } });
    const index = await openIndex([output, await folder('whole', 0, 1)], { embedder: fakeEmbedder() });
    expect(index.rows).toBe(14 + 1);
    const query = 'the battery late at';
    const hits = await index.search(query, { by, topK: 20, candidates: 20 });
    const found = hits.filter(({ directory }) => directory === output);
    const ids = found.map(({ id }) => Number(id));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBe(by === 'words' ? 6 : 7);
    const each = await index.search(query, { by, topK: 20, eachPiece: true });
    const pieces = each.filter(({ directory }) => directory === output);
    expect(pieces.length).toBeGreaterThan(ids.length);
    for (const { id, piece, text, score } of found) {
      expect(texts[Number(id)]!.slice(piece!.start, piece!.end)).toBe(text);
      const scores = pieces.filter((other) => other.id === id).map((other) => other.score);
      expect(by === 'both' || score === Math.max(...scores)).toBe(true);
    }
    const [first] = await index.search(query, { by, topK: 1, filter: ({ stars }) => stars === '2' });
    expect(Number(first!.id) % 3).toBe(2);
  });
});
