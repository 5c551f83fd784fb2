// Evaluators of similarities: semantic textual similarity (STS), triplets, binary classification of pairs.
import { embeddingSimilarity, pairwiseSimilarity, similarityFunctions, type SimilarityFunction } from '@sentvec/core';
import type { EmbedTexts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { averagePrecision, bestAccuracy, bestF1, rankLabels } from './ranked-labels.ts';

/** Pairs of texts with a gold similarity score each. */
export interface ScoredPairs {
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly scores: Float32Array;
}

/**
 * Semantic textual similarity: correlates similarities of vectors with gold scores. `score` is the Spearman correlation
 * for `similarity`; `metrics` has the Spearman and Pearson correlations for all four similarity functions. Follows
 * `EmbeddingSimilarityEvaluator` of sentence-transformers.
 */
export async function evaluateSts(
  embed: EmbedTexts,
  { first, second, scores }: ScoredPairs,
  similarity: SimilarityFunction = 'cosine',
): Promise<Evaluation> {
  const metrics = embeddingSimilarity(await embed(first), await embed(second), scores);
  return { score: metrics[`spearman_${similarity}`], metrics: { ...metrics } };
}

/** Triplets: `positives[i]` should be nearer to `anchors[i]` than `negatives[i]` is. */
export interface Triplets {
  readonly anchors: readonly string[];
  readonly positives: readonly string[];
  readonly negatives: readonly string[];
}

/**
 * The share of triplets whose positive is nearer than their negative, for all four similarity functions. `score` is
 * that of `similarity`. Follows `TripletEvaluator` of sentence-transformers.
 */
export async function evaluateTriplets(
  embed: EmbedTexts,
  triplets: Triplets,
  similarity: SimilarityFunction = 'cosine',
): Promise<Evaluation> {
  const [anchors, positives, negatives] = [
    await embed(triplets.anchors),
    await embed(triplets.positives),
    await embed(triplets.negatives),
  ];
  const metrics: Record<string, number> = {};
  for (const name of similarityFunctions) {
    const near = pairwiseSimilarity(anchors, positives, name);
    const far = pairwiseSimilarity(anchors, negatives, name);
    metrics[`accuracy_${name}`] = near.reduce((right, value, i) => right + Number(value > far[i]!), 0) / near.length;
  }
  return { score: metrics[`accuracy_${similarity}`]!, metrics };
}

/** Pairs of texts that mean the same (1) or do not (0). */
export interface LabelledPairs {
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly labels: ArrayLike<number>;
}

/**
 * Evaluates how well a threshold on the similarity separates positive pairs from negative ones: best accuracy, best F1
 * with its precision and recall, and average precision, for all four similarity functions. `score` is the average
 * precision of `similarity`. Follows `BinaryClassificationEvaluator` of sentence-transformers.
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
