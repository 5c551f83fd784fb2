import { pairwiseSimilarity, similarityFunctions, type SimilarityFunction } from '@sentvec/core';
import type { EmbedTexts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';

/** Texts of which the positive should be nearer to the anchor than the negative is. */
export interface Triplets {
  readonly anchors: readonly string[];
  readonly positives: readonly string[];
  readonly negatives: readonly string[];
}

/**
 * The share of triplets in the right order, by each similarity; `score` by the model's own. As `TripletEvaluator` of
 * sentence-transformers.
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
