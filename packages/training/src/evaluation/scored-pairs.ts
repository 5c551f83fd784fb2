// Evaluators of models that score pairs of texts: rerankers and late-interaction models.
import { pearsonCorrelation, rowOf, spearmanCorrelation, type Matrix, type TextPair } from '@sentvec/core';
import type { ScorePairs } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { averagePrecision, bestAccuracy, bestF1, rankLabels } from './ranked-labels.ts';
import { meanOfRankings, type RerankingSample } from './search.ts';
import type { LabelledPairs, ScoredPairs, Triplets } from './similarity.ts';

/**
 * Correlates the model's scores of pairs with gold scores: Spearman (`score`) and Pearson. Follows
 * `CrossEncoderCorrelationEvaluator` of sentence-transformers. To get its Pearson correlation, apply the model's
 * activation to the scores.
 */
export async function evaluatePairCorrelation(
  score: ScorePairs,
  { first, second, scores }: ScoredPairs,
): Promise<Evaluation> {
  const found = firstScores(await score(pairsOf(first, second)));
  const spearman = spearmanCorrelation(found, scores);
  return { score: spearman, metrics: { spearman, pearson: pearsonCorrelation(found, scores) } };
}

/** Accuracy: the share of anchors that score higher with their positive than with their negative. */
export async function evaluatePairTriplets(
  score: ScorePairs,
  { anchors, positives, negatives }: Triplets,
): Promise<Evaluation> {
  const near = firstScores(await score(pairsOf(anchors, positives)));
  const far = firstScores(await score(pairsOf(anchors, negatives)));
  const right = near.reduce((count, value, row) => count + Number(value > far[row]!), 0);
  return { score: right / near.length, metrics: { accuracy: right / near.length } };
}

/**
 * Evaluates how well a threshold on the score separates positive pairs (1) from negative ones (0): average precision
 * (`score`), best accuracy and best F1. Follows `CrossEncoderClassificationEvaluator` of sentence-transformers for one
 * label.
 */
export async function evaluatePairBinary(
  score: ScorePairs,
  { first, second, labels }: LabelledPairs,
): Promise<Evaluation> {
  const ranked = rankLabels(firstScores(await score(pairsOf(first, second))), labels);
  const [accuracy, f1, ap] = [bestAccuracy(ranked), bestF1(ranked), averagePrecision(ranked)];
  const { precision, recall } = f1;
  return { score: ap, metrics: { average_precision: ap, accuracy: accuracy.value, f1: f1.value, precision, recall } };
}

/**
 * Ranks the documents of each query: mean average precision (`score`), MRR and NDCG at 10. Follows
 * `CrossEncoderRerankingEvaluator` of sentence-transformers: a query without positives scores 0, and a query without
 * negatives counts too.
 */
export function evaluatePairReranking(score: ScorePairs, samples: readonly RerankingSample[]): Promise<Evaluation> {
  return meanOfRankings(samples, async (query, documents) =>
    firstScores(await score(documents.map((document) => [query, document]))),
  );
}

/**
 * Predicts the label with the highest score: accuracy (`score`), and macro F1 over all labels that are predicted or
 * correct at least once. Follows `CrossEncoderClassificationEvaluator` of sentence-transformers.
 * @param pairs `classes` has the index of the correct label of each pair
 */
export async function evaluatePairClassification(
  score: ScorePairs,
  pairs: Omit<LabelledPairs, 'labels'> & { readonly classes: ArrayLike<number> },
): Promise<Evaluation> {
  const { first, second, classes } = pairs;
  const found = await score(pairsOf(first, second));
  const predicted = first.map((_, row) => indexOfLargest(rowOf(found, row)));
  const right = predicted.filter((label, row) => label === classes[row]).length / first.length;
  const occurring = [...new Set([...predicted, ...Array.from(classes)])];
  const f1s = occurring.map((label) => {
    const both = predicted.filter((each, row) => each === label && classes[row] === label).length;
    const either =
      predicted.filter((each) => each === label).length + Array.from(classes).filter((each) => each === label).length;
    return (2 * both) / either;
  });
  const macro = f1s.reduce((sum, f1) => sum + f1, 0) / f1s.length;
  return { score: right, metrics: { accuracy: right, f1_macro: macro } };
}

function indexOfLargest(values: Float32Array): number {
  return values.reduce((best, value, at) => (value > values[best]! ? at : best), 0);
}

function pairsOf(first: readonly string[], second: readonly string[]): TextPair[] {
  return first.map((text, row) => [text, second[row]!]);
}

function firstScores({ data, rows, cols }: Matrix): Float32Array {
  return Float32Array.from({ length: rows }, (_, row) => data[row * cols]!);
}
