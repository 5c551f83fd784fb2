import { embeddingSimilarity, type SimilarityFunction } from '@sentvec/core';
import type { EmbedTexts } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';

/** Pairs of texts with how similar people find them. */
export interface ScoredPairs {
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly scores: Float32Array;
}

/**
 * Semantic textual similarity: correlation of similarities with people's scores. `score` is Spearman's for the model's
 * own similarity; `metrics` has Spearman's and Pearson's for all four. As `EmbeddingSimilarityEvaluator` of
 * sentence-transformers.
 */
export async function evaluateSts(
  embed: EmbedTexts,
  { first, second, scores }: ScoredPairs,
  similarity: SimilarityFunction = 'cosine',
): Promise<Evaluation> {
  const metrics = embeddingSimilarity(await embed(first), await embed(second), scores);
  return { score: metrics[`spearman_${similarity}`], metrics: { ...metrics } };
}
