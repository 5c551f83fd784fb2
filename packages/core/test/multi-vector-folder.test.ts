import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { joinMatrices, maxSimilarityScores, quantizeTokens, searchByMaxSimilarity, type Matrix } from '@sentvec/core';
import { openMultiVectors, writeMultiVectors } from '@sentvec/core/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-token-vectors-'));
});
afterAll(() => rm(folder, { recursive: true }));

const cols = 12;
const matrix = (rows: number, seed: number): Matrix => ({
  data: Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(1 + (i + 1) * (seed + 1.3))),
  rows,
  cols,
});
const query = matrix(5, 99);
const documents = Array.from({ length: 70 }, (_, text) => matrix(text % 7, text));
const parts = async function* () {
  for (let at = 0; at < documents.length; at += 9) yield joinMatrices(documents.slice(at, at + 9));
  yield joinMatrices([]);
};

describe('token vectors in a folder', () => {
  it.each(['float32', 'int8', 'binary'] as const)(
    '%s: give the same scores from a folder as from memory',
    async (precision) => {
      const path = join(folder, precision);
      await writeMultiVectors(path, parts(), { precision, fingerprint: 'space' });
      const stored = await openMultiVectors(path, { fingerprint: 'space' });
      expect(stored).toMatchObject({ texts: 70, cols, precision, fingerprint: 'space' });
      const all = joinMatrices(documents);
      const inMemory = precision === 'float32' ? all : quantizeTokens(all, precision);
      expect(await maxSimilarityScores(query, stored)).toEqual(await maxSimilarityScores(query, inMemory));
      const candidates = [69, 3, 0, 3, 40];
      const some = await maxSimilarityScores(query, stored, { candidates });
      expect(some).toEqual(await maxSimilarityScores(query, inMemory, { candidates }));
      expect(await searchByMaxSimilarity(query, stored)).toEqual(await searchByMaxSimilarity(query, inMemory));
      expect(() => stored.read(69, 71)).toThrow('There are no documents 69 to 71');
    },
  );

  it('are refused for another fingerprint, a non-empty output folder, and damaged files', async () => {
    const path = join(folder, 'refusals');
    await writeMultiVectors(path, parts(), { fingerprint: 'space' });
    await expect(openMultiVectors(path, { fingerprint: 'other' })).rejects.toMatchObject({ code: 'space-mismatch' });
    await expect(writeMultiVectors(path, parts())).rejects.toMatchObject({ code: 'invalid-output' });
    await truncate(join(path, 'segment-00000.bin'), 100);
    await expect(openMultiVectors(path)).rejects.toThrow(/segment-00000.bin is damaged/u);
    await writeFile(join(path, 'index.json'), '{');
    await expect(openMultiVectors(path)).rejects.toThrow(/index.json is damaged/u);
    await expect(openMultiVectors(folder)).rejects.toThrow(/contains no token vectors/u);
  });

  it('leave no files when the vectors cannot be written', async () => {
    const path = join(folder, 'broken');
    const broken = joinMatrices([matrix(2, 1), { data: new Float32Array(cols).fill(NaN), rows: 1, cols }]);
    await expect(writeMultiVectors(path, [broken])).rejects.toMatchObject({ code: 'invalid-argument' });
    const other = joinMatrices([{ data: new Float32Array(4), rows: 1, cols: 4 }]);
    await expect(writeMultiVectors(path, [joinMatrices(documents), other])).rejects.toThrow(
      /Document 70 has vectors of 4/u,
    );
    expect((await readdir(folder)).filter((name) => name.includes('broken'))).toEqual([]);
  });
});
