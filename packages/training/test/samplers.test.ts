import { expect, test } from 'vitest';
import { byLength, groupedByLabel, inOrder, learningRateAt, noDuplicates, Random, shuffled } from '@sentvec/training';

const texts = Array.from({ length: 103 }, (_, i) => 'x'.repeat(1 + ((i * 37) % 50)) + String(i));
const table = { columns: [texts, texts.map((text) => `${text} too`)], labels: texts.map((_, i) => i % 7) };
const request = { batchSize: 8, seed: 42, epoch: 0 };
const all = [...texts.keys()];
const sorted = (batches: Int32Array[]) => batches.flatMap((batch) => [...batch]).sort((a, b) => a - b);

test.each([
  ['shuffled', shuffled],
  ['inOrder', inOrder],
  ['noDuplicates', noDuplicates],
  ['byLength', byLength],
])('%s returns every example once, in the same order for the same seed and epoch', (_, sampler) => {
  const batches = sampler(table, request);
  expect(sorted(batches)).toEqual(all);
  expect(batches.map((batch) => batch.length).filter((length) => length !== 8)).toEqual([103 % 8]);
  expect(sampler(table, request)).toEqual(batches);
});

test('epochs and seeds differ', () => {
  const first = shuffled(table, request);
  expect(shuffled(table, { ...request, epoch: 1 })).not.toEqual(first);
  expect(shuffled(table, { ...request, seed: 43 })).not.toEqual(first);
});

test('no text is twice in a batch, and no example is lost', () => {
  const few = {
    columns: [
      Array.from({ length: 60 }, (_, i) => `anchor ${i % 6}`),
      Array.from({ length: 60 }, (_, i) => `positive ${i}`),
    ],
  };
  const batches = noDuplicates(few, request);
  expect(sorted(batches)).toEqual([...few.columns[0]!.keys()]);
  for (const batch of batches) expect(new Set([...batch].map((row) => few.columns[0]![row])).size).toBe(batch.length);
});

test('a text that occurs in every example does not slow the sampler down, and no batch has it twice', () => {
  const count = 200_000;
  const columns = [Array.from({ length: count }, () => 'always'), Array.from({ length: count }, (_, i) => `${i}`)];
  const batches = noDuplicates({ columns }, request);
  expect(batches).toHaveLength(count);
  expect(new Set(batches.map((batch) => batch[0])).size).toBe(count);
});

test('batches without duplicates are full as long as the texts allow it', () => {
  // 400 examples with 100 different anchors, each four times.
  const anchors = Array.from({ length: 400 }, (_, i) => `anchor ${i % 100}`);
  const columns = [anchors, anchors.map((__, i) => `positive ${i}`)];
  const sizes = noDuplicates({ columns }, request).map((batch) => batch.length);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(400);
  expect(sizes.filter((size) => size < 8).length).toBeLessThan(8);
});

test('every example of a batch has another of its class', () => {
  const batches = groupedByLabel(table, request);
  for (const batch of batches) {
    for (const row of batch)
      expect([...batch].filter((other) => table.labels[other] === table.labels[row]).length).toBeGreaterThan(1);
  }
  // 103 examples in 7 classes: five classes have 15 examples and two have 14, so five examples remain unused.
  expect(sorted(batches)).toHaveLength(98);
});

test('batches grouped by length have texts of similar lengths', () => {
  const spread = byLength(table, request).map((batch) => {
    const lengths = [...batch].map((row) => texts[row]!.length);
    return Math.max(...lengths) - Math.min(...lengths);
  });
  expect(Math.max(...spread)).toBeLessThan(10);
});

test('learning-rate schedules', () => {
  const schedule = { peak: 1, totalSteps: 100, warmupSteps: 10 };
  const at = (kind: 'linear' | 'cosine' | 'constant', step: number) => learningRateAt({ ...schedule, kind }, step);
  expect([0, 4, 9].map((step) => at('linear', step))).toEqual([0.1, 0.5, 1]);
  expect(at('linear', 55)).toBeCloseTo(0.5);
  expect(at('linear', 99)).toBeCloseTo(1 / 90);
  expect(at('cosine', 55)).toBeCloseTo(0.5);
  expect(at('cosine', 32.5)).toBeCloseTo((1 + Math.SQRT1_2) / 2);
  expect(at('constant', 99)).toBe(1);
});

test('random numbers are uniform and normal, and streams are independent', () => {
  const draws = (random: Random, draw: 'uniform' | 'normal') => Array.from({ length: 20_000 }, () => random[draw]());
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const uniform = draws(new Random(1), 'uniform');
  expect(mean(uniform)).toBeCloseTo(0.5, 1);
  expect(mean(uniform.map((value) => value * value))).toBeCloseTo(1 / 3, 1);
  const normal = draws(new Random(1), 'normal');
  expect(mean(normal)).toBeCloseTo(0, 1);
  expect(mean(normal.map((value) => value * value))).toBeCloseTo(1, 1);
  const other = draws(new Random(1, 1), 'uniform');
  expect(mean(uniform.map((value, i) => (value - 0.5) * (other[i]! - 0.5)))).toBeCloseTo(0, 2);
});

test('missing documents in lists do not count as duplicates', () => {
  const queries = Array.from({ length: 16 }, (_, i) => `query ${i}`);
  const columns = [queries, queries.map((text) => `${text} first`), queries.map(() => '')];
  const labels = queries.flatMap(() => [1, -Infinity]);
  expect(noDuplicates({ columns, labels, labelWidth: 2 }, request)).toHaveLength(2);
});
