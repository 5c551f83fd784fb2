import { expect, test } from 'vitest';
import { planBatches } from '../src/embedder/batching.ts';

/** Reproducible lengths: mostly short, some long. */
function randomLengths(count: number, seed: number): number[] {
  let state = seed;
  const next = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  return Array.from({ length: count }, () =>
    next() < 0.7 ? 4 + Math.floor(next() * 20) : 4 + Math.floor(next() ** 2 * 500),
  );
}

test.each([1, 64, 512, 8192])('every text once, within a budget of %d, longest first', (budget) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const lengths = randomLengths(seed * 37, seed);
    const batches = planBatches(lengths, budget);
    expect(batches.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, place) => place));
    for (const batch of batches) {
      const longest = lengths[batch[0]!]!;
      expect(batch.length === 1 || batch.length * longest <= budget).toBe(true);
      expect(batch.every((place) => lengths[place]! <= longest)).toBe(true);
      expect(batch.reduce((padding, place) => padding + longest - lengths[place]!, 0)).toBeLessThanOrEqual(64);
    }
  }
});

test('a long text among short ones has a batch of its own', () => {
  const lengths = [12, 500, 12, 12];
  expect(planBatches(lengths, 8192)).toEqual([[1], [0, 2, 3]]);
});

test('equal lengths keep their order, and nothing gives nothing', () => {
  expect(planBatches([5, 5, 5, 5], 10)).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(planBatches([], 10)).toEqual([]);
});

test('in a shuffled mix of short and long texts, less than 3 % is padding', () => {
  const lengths = randomLengths(2048, 5);
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const positions = planBatches(lengths, 512).reduce((sum, batch) => sum + batch.length * lengths[batch[0]!]!, 0);
  expect(1 - tokens / positions).toBeLessThan(0.03);
});
