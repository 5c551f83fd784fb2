import { spearmanCorrelation } from '@sentvec/core';
import type { ScoredPairs } from '@sentvec/training';

/** Options for counting tokens. */
interface Counting {
  /** Whether repeated tokens count only once. */
  readonly present: boolean;
  /** Whether punctuation counts. */
  readonly punctuation: boolean;
}

/** Splits a text into words and punctuation, in lower case and without accents. */
function tokensOf(text: string, punctuation: boolean): string[] {
  const plain = text
    .toLowerCase()
    .normalize('NFD')
    .replaceAll(/\p{Mn}/gu, '');
  return plain.match(punctuation ? /[\p{P}\p{S}]|[^\s\p{P}\p{S}\p{C}]+/gu : /[^\s\p{P}\p{S}\p{C}]+/gu) ?? [];
}

/**
 * Evaluates a baseline without a model: the cosine similarity of bags of tokens, weighted by the inverse document
 * frequency in a corpus. Returns Spearman's correlation with the human scores.
 */
export function scoreOfBags(
  { first, second, scores }: ScoredPairs,
  corpus: readonly string[],
  { present, punctuation }: Counting,
): number {
  const frequencies = new Map<string, number>();
  for (const text of corpus)
    for (const token of new Set(tokensOf(text, punctuation))) frequencies.set(token, (frequencies.get(token) ?? 0) + 1);
  const idf = (token: string) => Math.log((corpus.length + 1) / ((frequencies.get(token) ?? 0) + 1));
  const bagOf = (text: string) => {
    const bag = new Map<string, number>();
    for (const token of tokensOf(text, punctuation))
      bag.set(token, present ? idf(token) : (bag.get(token) ?? 0) + idf(token));
    return bag;
  };
  const cosines = first.map((text, row) => cosine(bagOf(text), bagOf(second[row]!)));
  return spearmanCorrelation(cosines, scores);
}

function cosine(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  const squares = (bag: ReadonlyMap<string, number>) =>
    [...bag.values()].reduce((sum, weight) => sum + weight * weight, 0);
  let product = 0;
  for (const [token, weight] of a) product += weight * (b.get(token) ?? 0);
  return product / Math.sqrt(squares(a) * squares(b) || 1);
}
