import { SentvecError } from '../errors.ts';
import { pearsonCorrelation, spearmanCorrelation } from './correlation.ts';
import { pairwiseSimilarity, similarityFunctions } from './similarity.ts';
import type { Matrix, SimilarityFunction } from '../types.ts';

/**
 * Correlations with human scores, with the names of sentence-transformers; `max` is the maximum over the four
 * similarity functions.
 */
export type EmbeddingSimilarityMetrics = Readonly<
  Record<`${'pearson' | 'spearman'}_${SimilarityFunction | 'max'}`, number>
>;

/**
 * Measures how well the similarities of pairs agree with gold scores, as in semantic textual similarity (STS). Row i of
 * both matrices is a pair with the gold score `scores[i]`. Same metrics as `EmbeddingSimilarityEvaluator` of
 * sentence-transformers. Correlations are NaN when all scores are equal.
 * @throws SentvecError `invalid-argument` when the numbers of rows and scores differ, or there are less than 2
 */
export function embeddingSimilarity(
  embeddings1: Matrix,
  embeddings2: Matrix,
  scores: ArrayLike<number>,
): EmbeddingSimilarityMetrics {
  if (scores.length !== embeddings1.rows) {
    throw new SentvecError(
      'invalid-argument',
      `There are ${embeddings1.rows} pairs of embeddings, but ${scores.length} scores.`,
    );
  }
  const metrics = similarityFunctions.map((measure) => {
    const similarities = pairwiseSimilarity(embeddings1, embeddings2, measure);
    return {
      measure,
      pearson: pearsonCorrelation(similarities, scores),
      spearman: spearmanCorrelation(similarities, scores),
    };
  });
  return Object.fromEntries([
    ...metrics.flatMap(({ measure, pearson, spearman }) => [
      [`pearson_${measure}`, pearson],
      [`spearman_${measure}`, spearman],
    ]),
    ['pearson_max', Math.max(...metrics.map(({ pearson }) => pearson))],
    ['spearman_max', Math.max(...metrics.map(({ spearman }) => spearman))],
  ]) as EmbeddingSimilarityMetrics;
}
