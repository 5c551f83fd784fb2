import { expect, it } from 'vitest';
import { embeddingFacts } from '../src/progress.ts';

it('rows that were finished before the bar appeared do not affect the speed and the remaining time', () => {
  const begun = { rows: 8000, tokens: 80_000, fraction: 0.8 };
  expect(embeddingFacts(begun, { rows: 9000, tokens: 90_000, fraction: 0.9 }, 10)).toEqual([
    '9,000 rows',
    '100 rows/s',
    '1,000 tokens/s',
    '10 s left',
  ]);
  // A replay starts at 0 again.
  expect(embeddingFacts(begun, { rows: 10, tokens: 10, fraction: 0.1 }, 10)).toEqual([
    '10 rows',
    '0 rows/s',
    '0 tokens/s',
  ]);
});
