/** Inverted indexes of sparse vectors and of words (BM25), in memory and in folders, compared with brute force. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createBm25Index,
  createSparseIndex,
  largestEntries,
  sparseDot,
  sparsevecText,
  unicodeWords,
  type SearchHit,
  type SparseIndex,
  type SparseVector,
} from '@sentvec/core';
import { openBm25Index, openSparseIndex, writeBm25Index, writeSparseIndex } from '@sentvec/core/node';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-index-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let folders = 0;
const freshFolder = (): string => join(folder, String((folders += 1)));

const byIndex = (entries: readonly (readonly [number, number])[]): SparseVector => {
  const sorted = [...new Map(entries)].sort(([a], [b]) => a - b);
  return {
    indices: Int32Array.from(sorted, ([index]) => index),
    values: Float32Array.from(sorted, ([, value]) => value),
  };
};

function bruteForce(documents: readonly SparseVector[], query: SparseVector, topK: number): SearchHit[] {
  return documents
    .map((document, row) => ({ row, score: sparseDot(query, document) }))
    .filter(({ score }) => score !== 0)
    .sort((a, b) => b.score - a.score || a.row - b.row)
    .slice(0, topK);
}

async function inFolder(vectors: Iterable<SparseVector>): Promise<SparseIndex> {
  const path = freshFolder();
  await writeSparseIndex(path, vectors);
  return openSparseIndex(path);
}

const positive = fc.float({ min: Math.fround(0.01), max: 8, noNaN: true });
const vector = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 40 }), positive), { maxLength: 12 })
  .map((entries) => byIndex(entries));

describe('an inverted index of sparse vectors', () => {
  it('gives the results of brute force bit for bit, in memory and from files', async () => {
    const documents = fc.array(vector, { maxLength: 60 });
    const signed = fc.array(fc.tuple(fc.integer({ min: 0, max: 45 }), fc.float({ min: -4, max: 4, noNaN: true })));
    const query = signed.map((entries) => byIndex(entries));
    await fc.assert(
      fc.asyncProperty(documents, query, fc.integer({ min: 1, max: 12 }), async (all, wanted, topK) => {
        const expected = bruteForce(all, wanted, topK);
        expect(await (await createSparseIndex(all)).search(wanted, { topK })).toEqual(expected);
        expect(await (await inFolder(all)).search(wanted, { topK })).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  it('finds the best rows of several segments', async () => {
    // A segment contains 65,536 documents. The values of later segments are lower, so the search can skip them.
    const documents = Array.from({ length: 150_000 }, (_, row) =>
      byIndex([
        [row % 7, 1 + ((row * 7919) % 1000)],
        [100 + (row % 13), row < 70_000 ? 5 : 0.5],
      ]),
    );
    const index = await inFolder(documents);
    expect(index).toMatchObject({ documents: 150_000, postings: 300_000 });
    for (const query of [
      byIndex([
        [3, 1],
        [104, 2],
      ]),
      byIndex([[105, 1]]),
      byIndex([
        [112, 1],
        [6, 0.001],
      ]),
    ])
      expect(await index.search(query, { topK: 25 })).toEqual(bruteForce(documents, query, 25));
  });

  it('refuses invalid vectors by their row and leaves no files', async () => {
    const valid = byIndex([[1, 1]]);
    const invalid: readonly [SparseVector, string][] = [
      [{ indices: Int32Array.of(2, 1), values: Float32Array.of(1, 1) }, 'ascend'],
      [{ indices: Int32Array.of(1, 1), values: Float32Array.of(1, 1) }, 'ascend'],
      [{ indices: Int32Array.of(-1), values: Float32Array.of(1) }, 'ascend'],
      [{ indices: Int32Array.of(1), values: Float32Array.of(1, 2) }, '1 indices and 2 values'],
      [{ indices: Int32Array.of(1), values: Float32Array.of(NaN) }, 'NaN'],
      [byIndex([[1, -2]]), '-2'],
      [byIndex([[2 ** 24, 1]]), 'Terms must be below 16777216'],
    ];
    for (const [broken, message] of invalid) {
      const path = freshFolder();
      const error = { code: 'invalid-argument', details: { row: 1 }, message: expect.stringContaining(message) };
      await expect(createSparseIndex([valid, broken])).rejects.toMatchObject(error);
      await expect(writeSparseIndex(path, [valid, broken])).rejects.toMatchObject(error);
      expect(await readdir(folder)).not.toContain(path.slice(folder.length + 1));
    }
    const index = await createSparseIndex([valid]);
    await expect(index.search(invalid[0]![0])).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(index.search(valid, { topK: 0 })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(index.search(valid, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    expect(await index.search(byIndex([]))).toEqual([]);
  });

  it('refuses folders without an index, with a damaged one, one of another kind, and one with another fingerprint', async () => {
    const path = freshFolder();
    await writeSparseIndex(path, [byIndex([[1, 1]]), byIndex([[4, 2]])], { fingerprint: 'abc' });
    await expect(openSparseIndex(path, { fingerprint: 'abc' })).resolves.toMatchObject({ documents: 2 });
    await expect(openSparseIndex(path, { fingerprint: 'def' })).rejects.toMatchObject({ code: 'space-mismatch' });
    await expect(openBm25Index(path)).rejects.toMatchObject({ message: expect.stringContaining('openSparseIndex()') });
    await expect(openSparseIndex(join(path, 'none'))).rejects.toMatchObject({ code: 'invalid-output' });
    await expect(writeSparseIndex(path, [])).rejects.toMatchObject({ code: 'invalid-output' });
    const segment = join(path, 'segment-00000.bin');
    const bytes = await readFile(segment);
    // A header of four 32-bit words, three words for each term, and six bytes for each posting, rounded up to words.
    expect(bytes.length).toBe(4 * 4 + 2 * 3 * 4 + 2 * 8);
    const attempt = async (changed: Uint8Array): Promise<unknown> => {
      await writeFile(segment, changed);
      return (await openSparseIndex(path)).search(
        byIndex([
          [1, 1],
          [4, 1],
        ]),
      );
    };
    for (let length = 0; length < bytes.length; length += 1)
      await expect(attempt(bytes.subarray(0, length))).rejects.toMatchObject({ code: 'invalid-output' });
    for (const word of [0, 1, 2, 3]) {
      const changed = Buffer.from(bytes);
      changed.writeUInt32LE(0xffff_ffff, 4 * word);
      await expect(attempt(changed)).rejects.toMatchObject({ code: 'invalid-output' });
    }
    await writeFile(join(path, 'index.json'), '{"format":"other"}');
    await expect(openSparseIndex(path)).rejects.toMatchObject({ code: 'invalid-output' });
  });
});

it('a BM25 index is refused when a segment has words that words.txt lacks, or no lengths of documents', async () => {
  const [path, other, sparse] = [freshFolder(), freshFolder(), freshFolder()];
  await writeBm25Index(path, ['one two three']);
  await writeBm25Index(other, ['one']);
  await writeSparseIndex(sparse, [byIndex([[0, 1]])]);
  const list = join(path, 'index.json');
  const description = JSON.parse(await readFile(list, 'utf8')) as Record<string, unknown>;
  await writeFile(list, JSON.stringify({ ...description, segments: ['segment-00000.bin', 'segment-00001.bin'] }));
  const second = join(path, 'segment-00001.bin');
  await cp(join(other, 'segment-00000.bin'), second);
  expect(await openBm25Index(path)).toMatchObject({ documents: 2, words: 3 });
  await cp(join(sparse, 'segment-00000.bin'), second);
  await expect(openBm25Index(path)).rejects.toMatchObject({ code: 'invalid-output' });
  await cp(join(other, 'segment-00000.bin'), second);
  await writeFile(join(path, 'words.txt'), '"one"\n"two"\n');
  await expect(openBm25Index(path)).rejects.toMatchObject({ code: 'invalid-output' });
});

describe('largestEntries', () => {
  it('keeps the largest values (with equal values the lowest indices), sorted by index', () => {
    const { indices, values } = largestEntries(
      byIndex([
        [9, 2],
        [3, 1],
        [5, 2],
        [7, 3],
        [1, 2],
      ]),
      3,
    );
    expect([...indices]).toEqual([1, 5, 7]);
    expect([...values]).toEqual([2, 2, 3]);
  });
});

describe('sparsevecText', () => {
  it('counts from 1 and ends with the dimension', () => {
    const two = { indices: Int32Array.of(0, 7), values: Float32Array.of(0.5, 2) };
    expect(sparsevecText(two, 30_522)).toBe('{1:0.5,8:2}/30522');
    expect(sparsevecText({ indices: new Int32Array(0), values: new Float32Array(0) }, 3)).toBe('{}/3');
  });
});

describe('BM25', () => {
  /** The expected hits by the BM25 formula. */
  function bm25(texts: readonly string[], query: string, k1: number, b: number): SearchHit[] {
    const words = texts.map((text) => unicodeWords(text));
    const average = words.reduce((sum, each) => sum + each.length, 0) / texts.length;
    return words
      .map((own, row) => {
        let score = 0;
        for (const term of unicodeWords(query)) {
          const documentFrequency = words.filter((each) => each.includes(term)).length;
          const inverseDocumentFrequency = Math.log(
            1 + (texts.length - documentFrequency + 0.5) / (documentFrequency + 0.5),
          );
          const count = own.filter((each) => each === term).length;
          if (count > 0)
            score +=
              (inverseDocumentFrequency * count * (k1 + 1)) / (count + k1 * (1 - b + (b * own.length) / average));
        }
        return { row, score };
      })
      .filter(({ score }) => score > 0)
      .sort((x, y) => y.score - x.score || x.row - y.row);
  }

  const anyWord = fc.constantFrom('a', 'B', 'sea', 'Sea!', 'Straße', 'ﬁsh', '日本', '7', '\u0301');
  const text = fc.array(anyWord, { maxLength: 9 }).map((words) => words.join(' '));

  it('gives the scores of the formula, in memory and from files', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { minLength: 1, maxLength: 20 }),
        text,
        fc.double({ min: 0, max: 3, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (texts, query, k1, b) => {
          const expected = new Map(bm25(texts, query, k1, b).map(({ row, score }) => [row, score]));
          const path = freshFolder();
          await writeBm25Index(path, texts, { k1, b });
          for (const index of [await createBm25Index(texts, { k1, b }), await openBm25Index(path)]) {
            const hits = await index.search(query, { topK: texts.length });
            expect(new Set(hits.map(({ row }) => row))).toEqual(new Set(expected.keys()));
            for (const { row, score } of hits) expect(score).toBeCloseTo(expected.get(row)!, 5);
            const scores = hits.map(({ score }) => score);
            expect(scores).toEqual([...scores].sort((x, y) => y - x));
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('splits texts into normalized words of letters, marks and digits, and CJK and Thai texts into characters', () => {
    expect(unicodeWords("Don't STOP: naïve cafés, 3.5 €, ﬁn; Ａ１")).toEqual([
      'don',
      't',
      'stop',
      'naïve',
      'cafés',
      '3',
      '5',
      'fin',
      'a1',
    ]);
    expect(unicodeWords('東京タワー is ภาษา, हिन्दी भाषा')).toEqual([
      '東',
      '京',
      'タ',
      'ワ',
      'ー',
      'is',
      'ภ',
      'า',
      'ษ',
      'า',
      'हिन्दी',
      'भाषा',
    ]);
    expect(unicodeWords('  —  ')).toEqual([]);
  });

  it('explains which words matched, and accepts a custom function that splits texts into words', async () => {
    const texts = ['the whale', 'the sea', 'the white whale and the sea', ''];
    const index = await createBm25Index(texts);
    expect(index).toMatchObject({ documents: 4, words: 5 });
    expect(index.explain('white whale of the sea').map(({ term }) => term)).toEqual(['white', 'whale', 'sea', 'the']);
    const words = (each: string) => each.split(' ').map((part) => part.slice(0, 1));
    const path = freshFolder();
    await writeBm25Index(path, texts, { words });
    await expect(openBm25Index(path)).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(await (await openBm25Index(path, { words })).search('sun')).toHaveLength(2);
    await expect(createBm25Index([3 as never])).rejects.toMatchObject({ code: 'invalid-text', details: { row: 0 } });
    await expect(createBm25Index([], { b: 2 })).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(await (await createBm25Index([])).search('x')).toEqual([]);
  });
});
