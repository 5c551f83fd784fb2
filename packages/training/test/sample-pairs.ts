import { Random } from '@sentvec/training';

const words =
  'the quick brown fox jumps over lazy dog man plays guitar stage music query paris france capital cost units'.split(
    ' ',
  );

/** A synthetic pair. Its score is the share of leading words that both texts have in common. */
export interface SamplePair {
  readonly a: string;
  readonly b: string;
  readonly score: number;
}

/** Returns pairs whose scores a model can learn. */
export function samplePairs(count: number, seed = 1): SamplePair[] {
  const random = new Random(seed);
  const text = (length: number) => Array.from({ length }, () => words[random.below(words.length)]!);
  return Array.from({ length: count }, () => {
    const a = text(3 + random.below(8));
    const shared = random.below(a.length + 1);
    const b = [...a.slice(0, shared), ...text(a.length - shared)];
    return { a: a.join(' '), b: b.join(' '), score: shared / a.length };
  });
}

/** Formats rows as JSON Lines. */
export function jsonLines(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
