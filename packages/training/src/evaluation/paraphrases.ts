import { paraphraseMining, type SimilarityFunction } from '@sentvec/core';
import type { EmbedTexts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { averagePrecision, bestF1 } from './ranked-labels.ts';

/** Texts, and which pairs of them (by row) say the same. */
export interface ParaphraseTask {
  readonly texts: readonly string[];
  readonly duplicates: readonly (readonly [number, number])[];
}

/** The task of finding, among all different texts of both columns, the pairs that stand in a row. */
export function paraphraseTask(first: readonly string[], second: readonly string[]): ParaphraseTask {
  const texts = [...new Set([...first, ...second])];
  const rowOf = new Map(texts.map((text, row) => [text, row]));
  const duplicates = first.map((text, row) => [rowOf.get(text)!, rowOf.get(second[row]!)!] as const);
  return { texts, duplicates: duplicates.filter(([a, b]) => a !== b) };
}

/**
 * Finds the paraphrases among all pairs: average precision (`score`), best F1 with its precision, recall and threshold.
 * Pairs that mining does not return count as not found. As `ParaphraseMiningEvaluator` of sentence-transformers.
 */
export async function evaluateParaphrases(
  embed: EmbedTexts,
  { texts, duplicates }: ParaphraseTask,
  similarity: SimilarityFunction = 'cosine',
): Promise<Evaluation> {
  const key = (a: number, b: number) => `${Math.min(a, b)} ${Math.max(a, b)}`;
  const right = new Set(duplicates.map(([a, b]) => key(a, b)));
  const pairs = await paraphraseMining(await embed(texts), { similarity });
  const labels = pairs.map(({ first, second }) => Number(right.has(key(first, second))));
  const ranked = { scores: pairs.map(({ score }) => score), labels };
  const found = labels.reduce((sum, label) => sum + label, 0) / Math.max(1, right.size);
  const best = bestF1(ranked);
  const recall = best.recall * found;
  const f1 = best.precision + recall === 0 ? 0 : (2 * best.precision * recall) / (best.precision + recall);
  const ap = averagePrecision(ranked) * found;
  return {
    score: ap,
    metrics: { average_precision: ap, f1, precision: best.precision, recall, threshold: best.threshold },
  };
}
