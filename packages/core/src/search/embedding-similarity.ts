import { SentvecError } from '../errors.ts';
import { pearsonCorrelation, spearmanCorrelation } from './correlation.ts';
import { pairwiseSimilarity, similarityFunctions } from './similarity.ts';
import type { Matrix, SimilarityFunction } from '../types.ts';

/**
 * Correlations with people's judgement, by the names of sentence-transformers; `max` is the best of the four
 * similarities.
 */
export type EmbeddingSimilarityMetrics = Readonly<
  Record<`${'pearson' | 'spearman'}_${SimilarityFunction | 'max'}`, number>
>;

/**
 * How well the similarity of pairs agrees with a gold score, as in semantic textual similarity: row i of the one matrix
 * and of the other make a pair of score i. As `EmbeddingSimilarityEvaluator` of sentence-transformers. A correlation is
 * not a number when all scores are equal.
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
