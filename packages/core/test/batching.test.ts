import { expect, test } from 'vitest';
import {
  countUnpooledTokens,
  createPooling,
  maskForPooling,
  padBatch,
  planBatches,
  type Tokenizer,
} from '@sentvec/core';
import { characterTokenizer } from './fake-parts.ts';

/** Reproducible lengths: mostly short, some long. */
function randomLengths(count: number, seed: number): number[] {
  let state = seed;
  const next = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  return Array.from({ length: count }, () =>
    next() < 0.7 ? 4 + Math.floor(next() * 20) : 4 + Math.floor(next() ** 2 * 500),
  );
}

test.each([1, 64, 512, 8192])('batches of at most %d positions contain every text once, longest first', (budget) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const lengths = randomLengths(seed * 37, seed);
    const batches = planBatches(lengths, budget);
    expect(batches.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, index) => index));
    for (const batch of batches) {
      const longest = lengths[batch[0]!]!;
      expect(batch.length === 1 || batch.length * longest <= budget).toBe(true);
      expect(batch.every((index) => lengths[index]! <= longest)).toBe(true);
      expect(batch.reduce((padding, index) => padding + longest - lengths[index]!, 0)).toBeLessThanOrEqual(64);
    }
  }
});

test('a long text among short ones has a batch of its own', () => {
  const lengths = [12, 500, 12, 12];
  expect(planBatches(lengths, 8192)).toEqual([[1], [0, 2, 3]]);
});

test('a batch may have exactly the maximum size, and exactly 64 positions of padding', () => {
  expect(planBatches([10, 10, 10], 20)).toEqual([[0, 1], [2]]);
  expect(planBatches([10, 10, 10], 19)).toEqual([[0], [1], [2]]);
  expect(planBatches([100, 36], 8192)).toEqual([[0, 1]]);
  expect(planBatches([100, 35], 8192)).toEqual([[0], [1]]);
  // The padding is counted again in each batch.
  expect(planBatches([300, 250, 100, 36], 8192)).toEqual([
    [0, 1],
    [2, 3],
  ]);
});

test('texts of equal length keep their order, and no texts give no batches', () => {
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

test('texts are padded on the right to the length of the longest, at whatever position that is', () => {
  const text = (...ids: number[]) => ({ ids: Int32Array.from(ids), length: ids.length, truncated: false });
  const batch = padBatch([text(5), text(1, 2, 3), text(8, 9)], 7);
  expect(batch).toEqual({
    ids: Int32Array.of(5, 7, 7, 1, 2, 3, 8, 9, 7),
    mask: Int32Array.of(1, 0, 0, 1, 1, 1, 1, 1, 0),
    rows: 3,
    cols: 3,
  });
  expect(maskForPooling(batch, 1)).toEqual(Int32Array.of(0, 0, 0, 0, 1, 1, 0, 1, 0));
  expect(maskForPooling(batch, [0, 2, 9])).toEqual(Int32Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0));
  expect(padBatch([], 7)).toMatchObject({ rows: 0, cols: 0 });
});

test('the tokens that pooling leaves out are counted as in sentence-transformers: the ids of the prompt alone, without the last one', async () => {
  const inner = characterTokenizer();
  const closedBy = (...suffix: number[]): Tokenizer => ({
    ...inner,
    specialTokens: { prefix: [60], suffix },
    encode: async (texts, options) =>
      (await inner.encode(texts, { ...options, addSpecialTokens: false })).map(({ ids }) => {
        const around = (options.addSpecialTokens ?? true) ? [60, ...ids, ...suffix] : [...ids];
        return { ids: Int32Array.from(around), length: around.length, truncated: false };
      }),
  });
  // sentence-transformers subtracts one token, even if two are added at the end.
  const closing = closedBy(62, 62);
  const leftOut = createPooling('mean', { includePrompt: false });
  const count = (tokenizer: Tokenizer, prompt: string | undefined, addSpecialTokens: boolean, pooling = leftOut) =>
    countUnpooledTokens(prompt, pooling, tokenizer, { maxLength: 10, addSpecialTokens });
  expect(await count(inner, 'abc', true)).toBe(4);
  expect(await count(inner, 'abc', false)).toBe(3);
  expect(await count(closing, 'abc', true)).toBe(5);
  expect(await count(closing, 'abc', false)).toBe(3);
  expect(await count(closedBy(), 'abc', true)).toBe(4);
  expect(await count(inner, 'a prompt that is cut', true)).toBe(9);
  for (const prompt of ['', undefined]) expect(await count(inner, prompt, true)).toBe(0);
  expect(await count(inner, 'abc', true, createPooling('mean'))).toBe(0);
});
