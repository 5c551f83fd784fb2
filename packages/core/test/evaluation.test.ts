import {
  embeddingSimilarity,
  informationRetrieval,
  pearsonCorrelation,
  ranks,
  spearmanCorrelation,
  truncateEmbeddings,
  type InformationRetrievalTask,
} from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { randomMatrix } from './random-vectors.ts';

describe('correlation', () => {
  it('gives equal numbers the mean of their ranks', () => {
    expect([...ranks([10, 20, 10, 5, 20, 20])]).toEqual([2.5, 5, 2.5, 1, 5, 5]);
  });

  it('gives the same values as NumPy', () => {
    const [x, y] = [
      [1, 2, 3, 4, 5, 5],
      [2, 1, 4, 4, 3, 9],
    ];
    expect(pearsonCorrelation(x, y)).toBeCloseTo(0.6738525456, 9);
    expect(spearmanCorrelation(x, y)).toBeCloseTo(0.6764705882, 9);
  });

  it('is between -1 and 1, and NaN for a constant', () => {
    const x = Array.from({ length: 100 }, (_, i) => 0.1 * i);
    expect(pearsonCorrelation(x, x)).toBe(1);
    expect(spearmanCorrelation(x, x.toReversed())).toBe(-1);
    expect(
      pearsonCorrelation(
        x,
        x.map(() => 0.1),
      ),
    ).toBeNaN();
    expect(spearmanCorrelation([1, NaN, 2], [1, 2, 3])).toBeNaN();
  });

  it.each([
    [[], []],
    [[1], [1]],
    [[1, 2], [1]],
  ])('refuses %j and %j', (x, y) => {
    expect(() => spearmanCorrelation(x, y)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('of embeddings needs a score for each pair', () => {
    const vectors = randomMatrix(3, 4, 1);
    expect(() => embeddingSimilarity(vectors, vectors, [1, 2])).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    );
  });
});

describe('informationRetrieval', () => {
  const task: InformationRetrievalTask = {
    queries: { data: Float32Array.of(1, 0, 0, 1), rows: 2, cols: 2 },
    queryIds: ['east', 'north'],
    corpus: { data: Float32Array.of(1, 0, 1, 1, 0, 1), rows: 3, cols: 2 },
    corpusIds: ['e', 'ne', 'n'],
    relevant: { east: ['e', 'elsewhere'], north: [] },
  };

  it('leaves out queries without relevant documents, and counts documents outside of the corpus as not found', async () => {
    const metrics = await informationRetrieval(task, { similarities: ['cosine'] });
    expect(metrics['cosine_accuracy@1']).toBe(1);
    expect(metrics['cosine_recall@10']).toBe(0.5);
    expect(metrics['cosine_precision@10']).toBe(0.1);
  });

  it.each([
    ['ids missing', { ...task, corpusIds: ['e'] }],
    ['an id twice', { ...task, corpusIds: ['e', 'n', 'e'] }],
    ['query ids missing', { ...task, queryIds: [] }],
    ['nothing relevant', { ...task, relevant: {} }],
    ['an inherited name as id', { ...task, queryIds: ['constructor', 'toString'] }],
  ])('refuses %s', async (_, broken) => {
    await expect(informationRetrieval(broken)).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('refuses a k below 1', async () => {
    await expect(informationRetrieval(task, { mapAtK: [0] })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('truncateEmbeddings', () => {
  it('does not normalize by default, and keeps zeros when normalizing', () => {
    const vectors = { data: Float32Array.of(3, 4, 5, 0, 0, 7), rows: 2, cols: 3 };
    expect([...truncateEmbeddings(vectors, 2).data]).toEqual([3, 4, 0, 0]);
    expect([...truncateEmbeddings(vectors, 2, { normalize: true }).data]).toEqual([...Float32Array.of(0.6, 0.8, 0, 0)]);
  });

  it.each([0, 1.5, 5])('refuses a dimension of %d', (dimension) => {
    expect(() => truncateEmbeddings(randomMatrix(2, 4, 1), dimension)).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    );
  });
});
