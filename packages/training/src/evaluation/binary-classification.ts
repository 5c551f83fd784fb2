import { pairwiseSimilarity, similarityFunctions, type SimilarityFunction } from '@sentvec/core';
import type { EmbedTexts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { averagePrecision, bestAccuracy, bestF1, rankLabels } from './ranked-labels.ts';

/** Pairs of texts that mean the same (1) or do not (0). */
export interface LabelledPairs {
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly labels: ArrayLike<number>;
}

/**
 * Whether a threshold on the similarity tells matches from others: best accuracy, best F1 with its precision and
 * recall, average precision, for all four similarities; `score` is the average precision of the model's own. As
 * `BinaryClassificationEvaluator` of sentence-transformers.
 */
export async function evaluateBinaryClassification(
  embed: EmbedTexts,
  pairs: LabelledPairs,
  similarity: SimilarityFunction = 'cosine',
): Promise<Evaluation> {
  const [a, b] = [await embed(pairs.first), await embed(pairs.second)];
  const metrics: Record<string, number> = {};
  for (const name of similarityFunctions) {
    const ranked = rankLabels(pairwiseSimilarity(a, b, name), pairs.labels);
    const [accuracy, f1] = [bestAccuracy(ranked), bestF1(ranked)];
    metrics[`${name}_accuracy`] = accuracy.value;
    metrics[`${name}_accuracy_threshold`] = accuracy.threshold;
    metrics[`${name}_f1`] = f1.value;
    metrics[`${name}_f1_threshold`] = f1.threshold;
    metrics[`${name}_precision`] = f1.precision;
    metrics[`${name}_recall`] = f1.recall;
    metrics[`${name}_ap`] = averagePrecision(ranked);
  }
  return { score: metrics[`${similarity}_ap`]!, metrics };
}
