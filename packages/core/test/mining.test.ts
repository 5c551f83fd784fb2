import { communityDetection, paraphraseMining, similarity, type Matrix, type ParaphrasePair } from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { randomMatrix } from './random-vectors.ts';

/** Rows around a few centers, so that there are near ones. */
function clustered(rows: number, cols: number, clusters: number, spread: number): Matrix {
  const [centers, noise] = [randomMatrix(clusters, cols, 21), randomMatrix(rows, cols, 22)];
  const data = noise.data.map(
    (entry, i) => centers.data[(Math.floor(i / cols) % clusters) * cols + (i % cols)]! + entry * spread,
  );
  return { data, rows, cols };
}

/** A simple and slow implementation of paraphrase mining, as a reference. */
function minePairsNaively(embeddings: Matrix, topK: number, maxPairs: number): Omit<ParaphrasePair, 'score'>[] {
  const { rows } = embeddings;
  const scores = similarity(embeddings, embeddings);
  const score = (i: number, j: number): number => scores.data[i * rows + j]!;
  const all = Array.from({ length: rows }, (_, i) =>
    Array.from({ length: rows }, (__, j) => j)
      .sort((a, b) => score(i, b) - score(i, a) || a - b)
      .slice(0, topK + 1)
      .filter((j) => j !== i)
      .map((j) => ({ i, j, score: score(i, j) })),
  ).flat();
  const unique = new Map(all.map((pair) => [`${Math.min(pair.i, pair.j)} ${Math.max(pair.i, pair.j)}`, pair]));
  return [...unique.values()]
    .map(({ i, j, score: value }) => ({ first: Math.min(i, j), second: Math.max(i, j), value }))
    .sort((a, b) => b.value - a.value || a.first - b.first || a.second - b.second)
    .slice(0, maxPairs)
    .map(({ first, second }) => ({ first, second }));
}

describe('paraphraseMining', () => {
  it.each([
    { topK: 3, maxPairs: 10_000 },
    { topK: 100, maxPairs: 200 },
    { topK: 1, maxPairs: 1 },
  ])('finds the same pairs as sorting all pairs: %o', async ({ topK, maxPairs }) => {
    const embeddings = clustered(130, 12, 9, 0.4);
    const pairs = await paraphraseMining(embeddings, { topK, maxPairs });
    expect(pairs.map(({ first, second }) => ({ first, second }))).toEqual(minePairsNaively(embeddings, topK, maxPairs));
    expect(pairs.every(({ score }, i) => i === 0 || score <= pairs[i - 1]!.score)).toBe(true);
  });

  it('lists pairs of equal score in the order of rows', async () => {
    const embeddings: Matrix = { data: Float32Array.of(1, 0, 1, 0, 0, 1, 0, 1), rows: 4, cols: 2 };
    const pairs = await paraphraseMining(embeddings, { topK: 1 });
    expect(pairs).toEqual([
      { score: 1, first: 0, second: 1 },
      { score: 1, first: 2, second: 3 },
    ]);
  });

  it('gives maxPairs pairs, each once; of equal scores those of the earlier rows', async () => {
    const embeddings = clustered(60, 8, 6, 0.3);
    for (const maxPairs of [1, 10, 150]) {
      const pairs = await paraphraseMining(embeddings, { maxPairs });
      expect(new Set(pairs.map(({ first, second }) => `${first} ${second}`)).size).toBe(maxPairs);
    }
    const equal: Matrix = { data: new Float32Array(12).fill(1), rows: 6, cols: 2 };
    const pairs = await paraphraseMining(equal, { maxPairs: 7 });
    expect(pairs.map(({ first, second }) => [first, second])).toEqual([
      [0, 1],
      [0, 2],
      [0, 3],
      [0, 4],
      [0, 5],
      [1, 2],
      [1, 3],
    ]);
  });

  it('finds pairs across batches of rows, and reports progress', async () => {
    const embeddings = clustered(2100, 4, 1050, 0);
    const done: number[] = [];
    const pairs = await paraphraseMining(embeddings, { topK: 1, onProgress: ({ rows }) => done.push(rows) });
    expect(done).toEqual([1024, 2048, 2100]);
    expect(pairs).toHaveLength(1050);
    expect(pairs.every(({ first, second }) => second === first + 1050)).toBe(true);
  });

  it('stops when it is aborted', async () => {
    await expect(paraphraseMining(randomMatrix(10, 4, 1), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
  });

  it.each([{ topK: 0 }, { maxPairs: 0 }, { similarity: 'none' as 'dot' }])('refuses %o', async (options) => {
    await expect(paraphraseMining(randomMatrix(3, 4, 1), options)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

/** A simple implementation with all neighbourhoods in memory, like that of sentence-transformers. */
function detectCommunitiesNaively(embeddings: Matrix, threshold: number, minCommunitySize: number): number[][] {
  const { rows } = embeddings;
  const scores = similarity(embeddings, embeddings);
  const least = Math.min(minCommunitySize, rows);
  const neighbourhoods = Array.from({ length: rows }, (_, i) =>
    Array.from({ length: rows }, (__, j) => j)
      .filter((j) => scores.data[i * rows + j]! >= threshold)
      .sort((a, b) => scores.data[i * rows + b]! - scores.data[i * rows + a]! || a - b),
  ).filter((neighbours) => neighbours.length >= least);
  const taken = new Set<number>();
  const communities: number[][] = [];
  for (const neighbours of neighbourhoods.sort((a, b) => b.length - a.length)) {
    const community = neighbours.filter((row) => !taken.has(row));
    if (community.length < least) continue;
    community.forEach((row) => taken.add(row));
    communities.push(community);
  }
  return communities.sort((a, b) => b.length - a.length);
}

describe('communityDetection', () => {
  it.each([
    { spread: 0.3, threshold: 0.85, minCommunitySize: 5 },
    { spread: 0.8, threshold: 0.6, minCommunitySize: 2 },
    { spread: 0.5, threshold: 0.2, minCommunitySize: 1 },
    { spread: 0.5, threshold: -1, minCommunitySize: 1000 },
  ])('finds the same communities as the simple implementation: %o', async ({ spread, threshold, minCommunitySize }) => {
    const embeddings = clustered(400, 10, 23, spread);
    const communities = await communityDetection(embeddings, { threshold, minCommunitySize });
    expect(communities).toEqual(detectCommunitiesNaively(embeddings, threshold, minCommunitySize));
    expect(communities.length).toBeGreaterThan(0);
  });

  it('stops when it is aborted', async () => {
    await expect(communityDetection(randomMatrix(10, 4, 1), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
  });

  it.each([{ threshold: NaN }, { minCommunitySize: 0 }])('refuses %o', async (options) => {
    await expect(communityDetection(randomMatrix(3, 4, 1), options)).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });
});
