import { expect, test } from 'vitest';
import {
  evaluateBinaryClassification,
  evaluateClassification,
  evaluateClustering,
  evaluateParaphrases,
  evaluateReranking,
  evaluateRetrieval,
  evaluateSts,
  evaluateTriplets,
  mineHardNegatives,
  vMeasure,
  type EmbedTexts,
} from '@sentvec/training';

/** A fake embedder: the text "30" becomes the unit vector at 30 degrees. */
const embed: EmbedTexts = async (texts) => {
  const data = Float32Array.from(
    texts.flatMap((text) => [Math.cos((Number(text) * Math.PI) / 180), Math.sin((Number(text) * Math.PI) / 180)]),
  );
  return { data, rows: texts.length, cols: 2 };
};
const numbered = (texts: readonly (number | string)[]) => texts.map(String);

test('semantic similarity: correlation with scores', async () => {
  const pairs = {
    first: numbered([0, 0, 0, 0]),
    second: numbered([10, 40, 20, 80]),
    scores: Float32Array.of(5, 2, 4, 1),
  };
  const { score, metrics } = await evaluateSts(embed, pairs);
  expect(score).toBeCloseTo(1, 6);
  expect(metrics!['spearman_euclidean']).toBeCloseTo(1, 6);
  // Pearson of cos(10°), cos(40°), cos(20°), cos(80°) with 5, 2, 4, 1.
  expect(metrics!['pearson_cosine']).toBeCloseTo(0.877_44, 4);
});

test('triplets: the accuracy', async () => {
  const triplets = {
    anchors: numbered([0, 0, 0, 0]),
    positives: numbered([5, 30, 10, 50]),
    negatives: numbered([20, 20, 90, 60]),
  };
  expect((await evaluateTriplets(embed, triplets)).score).toBe(0.75);
});

test('binary classification: thresholds and average precision', async () => {
  // Similarities in descending order: right, wrong, right, right, wrong.
  const pairs = { first: numbered([0, 0, 0, 0, 0]), second: numbered([10, 20, 30, 40, 50]), labels: [1, 0, 1, 1, 0] };
  const { score, metrics } = await evaluateBinaryClassification(embed, pairs);
  expect(score).toBeCloseTo((1 + 2 / 3 + 3 / 4) / 3, 10);
  expect(metrics!['cosine_accuracy']).toBeCloseTo(0.8, 10);
  expect(metrics!['cosine_f1']).toBeCloseTo((2 * 0.75) / 1.75, 10);
  expect(metrics!['cosine_recall']).toBe(1);
});

test('retrieval: NDCG, MRR and MAP by id', async () => {
  const task = { queries: { q: '0' }, corpus: { a: '10', b: '20', c: '30' }, relevant: { q: ['a', 'c'] } };
  const { score, metrics } = await evaluateRetrieval(embed, task);
  expect(score).toBeCloseTo((1 + 1 / 2) / (1 + 1 / Math.log2(3)), 6);
  expect(metrics['cosine_mrr@10']).toBe(1);
  expect(metrics['cosine_map@100']).toBeCloseTo((1 + 2 / 3) / 2, 6);
});

test('reranking: MAP, MRR and NDCG', async () => {
  const samples = [
    { query: '0', positive: ['20'], negative: ['10', '30'] },
    { query: '0', positive: ['10'], negative: ['20'] },
  ];
  const { score, metrics } = await evaluateReranking(embed, samples);
  expect(score).toBeCloseTo((1 / 2 + 1) / 2, 10);
  expect(metrics!['mrr@10']).toBeCloseTo(0.75, 10);
  expect(metrics!['ndcg@10']).toBeCloseTo((1 / Math.log2(3) + 1) / 2, 10);
});

test('paraphrases: average precision over all pairs', async () => {
  const { score, metrics } = await evaluateParaphrases(embed, {
    texts: numbered([0, 2, 50, 55]),
    duplicates: [
      [0, 1],
      [3, 2],
    ],
  });
  expect(score).toBeCloseTo(1, 10);
  expect(metrics!['f1']).toBeCloseTo(1, 10);
});

test('classification by neighbours and by a linear probe; clustering', async () => {
  const texts = numbered([0, 3, 6, 9, 90, 93, 96, 99, 200, 203, 206, 209]);
  const classes = texts.map((text) => (Number(text) < 50 ? 'east' : Number(text) < 150 ? 'north' : 'west'));
  const unseen = { texts: numbered([5, 95, 205, 12]), classes: ['east', 'north', 'west', 'east'] };
  const { metrics } = await evaluateClassification(embed, { texts, classes }, unseen, { neighbours: 3 });
  expect(metrics).toEqual({ knn_accuracy: 1, linear_accuracy: 1 });
  expect((await evaluateClustering(embed, { texts, classes })).score).toBeCloseTo(1, 10);
});

test('v-measure of known clusterings', () => {
  expect(vMeasure([0, 0, 1, 1], [1, 1, 0, 0]).v_measure).toBeCloseTo(1, 10);
  expect(vMeasure([0, 0, 1, 1], [0, 0, 1, 2])).toEqual({
    v_measure: expect.closeTo(0.8, 10),
    homogeneity: expect.closeTo(1, 10),
    completeness: expect.closeTo(2 / 3, 10),
  });
  expect(vMeasure([0, 0, 1, 1], [0, 0, 0, 0]).v_measure).toBe(0);
});

test('hard negatives by rank, score and margin', async () => {
  const anchors = await embed(['0', '90']);
  const positives = await embed(['10', '100']);
  const candidates = await embed(numbered([10, 20, 40, 70, 100]));
  const isPositive = (anchor: number, candidate: number) => (anchor === 0 ? candidate === 0 : candidate === 4);
  const mine = async (options: object) => {
    const mined = await mineHardNegatives(anchors, positives, { candidates, isPositive }, { negatives: 1, ...options });
    return mined.map(({ row, negatives }) => ({ row, negatives }));
  };
  expect(await mine({})).toEqual([
    { row: 0, negatives: [1] },
    { row: 1, negatives: [3] },
  ]);
  expect(await mine({ rangeMin: 1 })).toEqual([
    { row: 0, negatives: [2] },
    { row: 1, negatives: [2] },
  ]);
  expect((await mine({ margin: 0.1 }))[0]).toEqual({ row: 0, negatives: [2] });
  expect((await mine({ maxScore: 0.5 }))[0]).toEqual({ row: 0, negatives: [3] });
  expect(await mine({ minScore: 0.99 })).toEqual([]);
  // The positive is at cos 10° = 0.985; candidates at cos 20° = 0.940, cos 40° = 0.766, cos 70° = 0.342.
  expect((await mine({ relativeMargin: 0.96 }))[0]).toEqual({ row: 0, negatives: [1] });
  expect((await mine({ relativeMargin: 0.9 }))[0]).toEqual({ row: 0, negatives: [2] });
  expect((await mine({ relativeMargin: 0.7 }))[0]).toEqual({ row: 0, negatives: [3] });
  expect((await mine({ relativeMargin: 0.2 }))[0]).toEqual({ row: 0, negatives: [4] });
  for (const senseless of [{ negatives: 0 }, { rangeMin: -1 }, { margin: -0.1 }, { relativeMargin: 1.5 }])
    await expect(mine(senseless)).rejects.toMatchObject({ code: 'invalid-argument' });
});

test('a relative margin of hard negatives is a share of the score of the positive, not a difference', async () => {
  const mine = async (positive: number, relativeMargin: number) => {
    const [anchors, positives] = [await embed(['0']), await embed([String(positive)])];
    const candidates = await embed(numbered([70, 80, 110, 130, 150]));
    const noneIsPositive = { candidates, isPositive: () => false };
    const mined = await mineHardNegatives(anchors, positives, noneIsPositive, { negatives: 1, relativeMargin });
    return mined.map(({ row, negatives }) => ({ row, negatives }));
  };
  // The positive is at cos 60° = 0.5; the candidates at 0.342, 0.174, -0.342, -0.643 and -0.866.
  expect(await mine(60, 0.5)).toEqual([{ row: 0, negatives: [1] }]);
  expect(await mine(60, 0.9)).toEqual([{ row: 0, negatives: [0] }]);
  // For a positive with the score cos 120° = -0.5, a margin of half its absolute value means at most -0.75.
  expect(await mine(120, 0.5)).toEqual([{ row: 0, negatives: [4] }]);
});

test('hard negatives with a reranker: its scores determine the order and the margins, and become labels', async () => {
  const [anchors, positives] = [await embed(['0']), await embed(['10'])];
  const candidates = await embed(numbered([20, 40, 70, 100]));
  const asked: (readonly number[])[] = [];
  // The reranker scores the third candidate above the positive. The farthest candidate is not among the nearest three.
  const rescore = async (_: number, rows: readonly number[]) => {
    asked.push(rows);
    return [0.9, ...rows.map((row) => [0.2, 0.6, 0.95, 0.8][row]!)];
  };
  const pool = { candidates, isPositive: () => false };
  const options = { negatives: 2, rangeMax: 3, rescore };
  expect(await mineHardNegatives(anchors, positives, pool, options)).toEqual([
    { row: 0, negatives: [2, 1], scores: [0.9, 0.95, 0.6] },
  ]);
  expect(await mineHardNegatives(anchors, positives, pool, { ...options, margin: 0 })).toEqual([
    { row: 0, negatives: [1, 0], scores: [0.9, 0.6, 0.2] },
  ]);
  expect(asked).toEqual([
    [0, 1, 2],
    [0, 1, 2],
  ]);
});
