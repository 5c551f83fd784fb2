import { fuseRankings, SentvecError } from '@sentvec/core';
import { expect, it } from 'vitest';

const rows = (...ids: number[]) => ids.map((row, index) => ({ row, score: 10 - index }));

it('adds 1 / (60 + rank) over the rankings that have a row', () => {
  const fused = fuseRankings([rows(1, 2, 3), rows(3, 4)]);
  expect(fused.map(({ row }) => row)).toEqual([3, 1, 2, 4]);
  expect(fused[0]!.score).toBeCloseTo(1 / 63 + 1 / 61, 12);
  expect(fused[1]!.score).toBeCloseTo(1 / 61, 12);
  // Rows 2 and 4 are second of one ranking each: the lower row comes first.
  expect(fused[2]!.score).toBe(fused[3]!.score);
});

it('weights rankings, and limits the result to topK', () => {
  expect(fuseRankings([rows(1, 2), rows(2, 1)], { weights: [2, 1] }).map(({ row }) => row)).toEqual([1, 2]);
  expect(fuseRankings([rows(1, 2), rows(2, 1)], { weights: [1, 2], topK: 1 })).toHaveLength(1);
  expect(fuseRankings([rows(1, 2), rows(5)], { k: 1, weights: [1, 0] }).at(-1)).toEqual({ row: 5, score: 0 });
});

it('adds scores that were scaled to 0 to 1 between the worst and the best of each ranking', () => {
  const meaning = [
    { row: 1, score: 0.9 },
    { row: 2, score: 0.8 },
    { row: 3, score: 0.5 },
  ];
  const words = [
    { row: 2, score: 12 },
    { row: 4, score: 2 },
  ];
  const fused = fuseRankings([meaning, words], { by: 'scores' });
  expect(fused.map(({ row }) => row)).toEqual([2, 1, 3, 4]);
  expect(fused.map(({ score }) => Number(score.toFixed(6)))).toEqual([1.75, 1, 0, 0]);
  expect(fuseRankings([meaning, []], { by: 'scores' })[0]).toEqual({ row: 1, score: 1 });
  expect(fuseRankings([[{ row: 7, score: -3 }]], { by: 'scores' })).toEqual([{ row: 7, score: 1 }]);
});

it.each([{ k: 0 }, { weights: [1] }, { weights: [1, -1] }, { topK: 0 }, { by: 'rrf' }, { depth: 3 }])(
  'refuses %o',
  (options) => {
    expect(() => fuseRankings([[], []], options as object)).toThrow(SentvecError);
  },
);
