/** Invalid input of searches, loaders and rankings is refused with a message that names the problem. */
import { plainBackend } from '@sentvec/architectures';
import {
  communityDetection,
  createBm25Index,
  createSparseIndex,
  fuseRankings,
  informationRetrieval,
  joinMatrices,
  loadEmbedder,
  loadMultiVectorEmbedder,
  loadReranker,
  loadSparseEmbedder,
  maxSimilarityScores,
  paraphraseMining,
  quantize,
  retrievalMetrics,
  searchByMaxSimilarity,
  searchQuantized,
  semanticSearch,
  type ModelFiles,
} from '@sentvec/core';
import { goldenModel } from '@sentvec/testing';
import { expect, it } from 'vitest';

const backend = plainBackend();
const folders = {
  embedder: 'tiny-bert',
  reranker: 'rerank-bert-1-label',
  sparse: 'splade-bert-max',
  late: 'late-bert',
};
const loaders: Record<string, (model: ModelFiles) => Promise<unknown>> = {
  embedder: (model) => loadEmbedder(model, { backend }),
  reranker: (model) => loadReranker(model, { backend }),
  sparse: (model) => loadSparseEmbedder(model, { backend }),
  late: (model) => loadMultiVectorEmbedder(model, { backend }),
};
const wrongKinds = Object.keys(loaders).flatMap((loader) =>
  Object.entries(folders).flatMap(([kind, folder]) => (kind === loader ? [] : [[loader, kind, folder] as const])),
);

it.each(wrongKinds)('the loader of %s refuses %s, and names the right loader', async (loader, kind, folder) => {
  const right = kind === 'embedder' ? 'loadEmbedder()' : kind === 'late' ? 'loadMultiVectorEmbedder()' : `load${kind}`;
  await expect(loaders[loader]!(goldenModel(folder))).rejects.toMatchObject({
    code: 'unsupported-model',
    message: expect.stringMatching(new RegExp(`Load it with ${right.replace('()', '')}`, 'i')),
  });
});

const matrix = (...data: number[]) => ({ data: Float32Array.from(data), rows: data.length / 2, cols: 2 });
const [nan, valid] = [matrix(NaN, 1), matrix(1, 0, 0, 1)];
const task = { queries: nan, queryIds: ['q'], corpus: valid, corpusIds: ['a', 'b'], relevant: { q: ['a'] } };
const sparse = (index: number, value: number) => ({ indices: Int32Array.of(index), values: Float32Array.of(value) });
const cases: [title: string, work: () => unknown, message: RegExp][] = [
  ['a query of NaN', () => semanticSearch(nan, valid), /entry 0 of row 0 is NaN/],
  ['a query of Infinity', () => semanticSearch(matrix(0, 1, 1, Infinity), valid), /entry 1 of row 1 is Infinity/],
  ['an evaluation of NaN', () => informationRetrieval(task), /entry 0 of row 0 is NaN/],
  ['a quantized search for NaN', () => searchQuantized(nan, quantize(valid, 'int8')), /row 0 is NaN/],
  [
    'mining with NaN beyond the first search',
    () => paraphraseMining({ data: new Float32Array(2200).fill(1).fill(NaN, 2061), rows: 1100, cols: 2 }),
    /entry 1 of row 1030 is NaN/,
  ],
  [
    'a quantized search for Infinity',
    () => searchQuantized(matrix(Infinity, 1), quantize(valid, 'binary')),
    /Infinity/,
  ],
  ['bits of NaN', () => quantize(matrix(1, 0, 1, NaN), 'ubinary'), /Entry 1 of row 1/],
  ['steps of Infinity', () => quantize(matrix(1, 0, 1, Infinity), 'int8'), /entry 1 of row 1 is Infinity/],
  ['a calibration with NaN', () => quantize(valid, 'int8', { calibration: matrix(1, 0, NaN, 1) }), /row 1 is NaN/],
  ['ranges without an end', () => quantize(valid, 'int8', { ranges: matrix(0, 0, 1, Infinity) }), /row 1 is Infinity/],
  ['MaxSim of NaN', () => searchByMaxSimilarity(nan, joinMatrices([valid])), /not a number/],
  ['vectors of another length', () => semanticSearch(matrix(1, 0), { ...valid, rows: 1, cols: 4 }), /2 and 4 entries/],
  [
    'MaxSim of another length',
    () => maxSimilarityScores({ ...valid, rows: 1, cols: 4 }, joinMatrices([valid])),
    /4 and 2/,
  ],
  ['a sparse document of NaN', () => createSparseIndex([sparse(1, NaN)]), /Document 0 .* NaN/],
  [
    'a sparse query of NaN',
    async () => (await createSparseIndex([sparse(1, 2)])).search(sparse(1, NaN)),
    /The query .* NaN/,
  ],
  ['no text for BM25', async () => (await createBm25Index(['a'])).search(7 as unknown as string), /not a text/],
  ['a ranking with NaN', () => fuseRankings([[{ row: 3, score: NaN }]]), /Ranking 0 gives row 3/],
  ['communities of NaN', () => communityDetection(matrix(1, 0, NaN, 1)), /entry 0 of row 1 is NaN/],
  [
    'an evaluation over a corpus with NaN, whose rows are never found',
    () => informationRetrieval({ ...task, queries: matrix(1, 0), corpus: matrix(1, 0, NaN, 1) }),
    /The corpus: entry 0 of row 1 is NaN/,
  ],
  [
    'an evaluation of a ranking with a document twice, whose recall would be 2',
    () => retrievalMetrics([{ found: ['a', 'a'], relevant: new Set(['a']) }]),
    /Ranking 0 contains a document twice/,
  ],
  [
    'a ranking with a row twice',
    () =>
      fuseRankings([
        [
          { row: 3, score: 2 },
          { row: 3, score: 1 },
        ],
      ]),
    /row 3 twice/,
  ],
];
it.each(cases)('refuses %s', async (_, work, message) => {
  await expect((async () => work())()).rejects.toMatchObject({
    code: expect.stringMatching(/^invalid-(?:argument|text)$/),
    message: expect.stringMatching(message),
  });
});

it('an empty query is refused, and a pair that is too long is truncated and reported, or refused', async () => {
  await using reranker = await loadReranker(goldenModel(folders.reranker), { backend });
  await using late = await loadMultiVectorEmbedder(goldenModel(folders.late), { backend });
  for (const query of ['', '  ']) {
    await expect(reranker.rank(query, ['the city'])).rejects.toMatchObject({ code: 'invalid-text' });
    await expect(late.rank(query, ['the city'])).rejects.toMatchObject({ code: 'invalid-text' });
  }
  const pair = [['the '.repeat(600), 'a']] as const;
  expect((await reranker.score(pair)).receipt.truncated).toMatchObject([{ row: 0 }]);
  await expect(reranker.score(pair, { truncate: false })).rejects.toMatchObject({ code: 'invalid-text' });
});

it('a topK of Infinity returns all hits in every search and ranking; a topK that is no whole number is refused', async () => {
  const late = await loadMultiVectorEmbedder(goldenModel('late-bert'), { backend, selfCheck: false });
  const reranker = await loadReranker(goldenModel('rerank-bert-1-label'), { backend, selfCheck: false });
  const corpus = matrix(1, 0, 0, 1, 1, 1);
  const hits = [
    { row: 0, score: 1 },
    { row: 1, score: 0.5 },
    { row: 2, score: 0.25 },
  ];
  const bm25 = await createBm25Index(['sea', 'the sea', 'a sea']);
  const index = await createSparseIndex([sparse(0, 1), sparse(0, 2), sparse(0, 3)]);
  const tokens = joinMatrices([matrix(1, 0), matrix(0, 1), matrix(1, 1)]);
  const searches: Record<string, (topK: number) => Promise<readonly unknown[]>> = {
    semanticSearch: async (topK) => (await semanticSearch(matrix(1, 0), corpus, { topK }))[0]!,
    searchQuantized: async (topK) => (await searchQuantized(matrix(1, 0), quantize(corpus, 'int8'), { topK }))[0]!,
    fuseRankings: async (topK) => fuseRankings([hits], { topK }),
    bm25: (topK) => bm25.search('sea', { topK }),
    sparse: (topK) => index.search(sparse(0, 1), { topK }),
    searchByMaxSimilarity: (topK) => searchByMaxSimilarity(matrix(1, 0), tokens, { topK }),
    'late rank': (topK) => late.rank('sea', ['sea', 'the sea', 'a sea'], { topK }),
    'reranker rank': (topK) => reranker.rank('sea', ['sea', 'the sea', 'a sea'], { topK }),
  };
  for (const [name, search] of Object.entries(searches)) {
    expect([name, (await search(Infinity)).length, (await search(2)).length]).toEqual([name, 3, 2]);
    for (const topK of [0, -1, 1.5, NaN])
      await expect((async () => search(topK))()).rejects.toThrow(/^topK must be a whole number of at least 1, not /u);
  }
  await Promise.all([late.dispose(), reranker.dispose()]);
});

it('a row whose score is NaN is never a hit, even after rescoring', async () => {
  const corpus = matrix(1, 0, 0, 1, 1, 1);
  const quantized = quantize(corpus, 'int8');
  const rescoreWith = matrix(NaN, 0, 0.5, 1, 1, NaN);
  expect(await searchQuantized(matrix(1, 0), quantized, { rescoreWith })).toEqual([[{ row: 1, score: 0.5 }]]);
});
