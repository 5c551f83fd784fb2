// Evaluators of models that score pairs of texts: rerankers, and models of late interaction.
import { pearsonCorrelation, rowOf, spearmanCorrelation, type Matrix, type TextPair } from '@sentvec/core';
import type { ScorePairs } from '../embed-texts.ts';
import type { Evaluation } from '../training-request.ts';
import { averagePrecision, bestAccuracy, bestF1, rankLabels } from './ranked-labels.ts';
import { meanOfRankings, type RerankingSample } from './search.ts';
import type { LabelledPairs, ScoredPairs, Triplets } from './similarity.ts';

/**
 * Correlation of the scores of pairs with people's: Spearman's is `score`. As `CrossEncoderCorrelationEvaluator` of
 * sentence-transformers, when the scores are those after the model's activation: Pearson's depends on it.
 */
export async function evaluatePairCorrelation(
  score: ScorePairs,
  { first, second, scores }: ScoredPairs,
): Promise<Evaluation> {
  const found = firstScores(await score(pairsOf(first, second)));
  const spearman = spearmanCorrelation(found, scores);
  return { score: spearman, metrics: { spearman, pearson: pearsonCorrelation(found, scores) } };
}

/** Share of anchors that score higher with their positive than with their negative. */
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
 * Whether a threshold on the score separates pairs that match (1) from others (0): average precision is `score`; best
 * accuracy, best F1. As `CrossEncoderClassificationEvaluator` of sentence-transformers for one label.
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
 * Orders the documents of each query: mean average precision (`score`), MRR and NDCG at 10. As
 * `CrossEncoderRerankingEvaluator` of sentence-transformers: a query without an answer counts 0, and one with answers
 * alone counts too.
 */
export function evaluatePairReranking(score: ScorePairs, samples: readonly RerankingSample[]): Promise<Evaluation> {
  return meanOfRankings(samples, async (query, documents) =>
    firstScores(await score(documents.map((document) => [query, document]))),
  );
}

/**
 * How often the label with the highest score is the right one: accuracy (`score`), and the mean F1 of the labels
 * that occur, as the right one or a chosen one. As
 * `CrossEncoderClassificationEvaluator` of sentence-transformers.
 * @param classes the number of the right label of each pair
 */
export async function evaluatePairClassification(
  score: ScorePairs,
  { first, second, classes }: Omit<LabelledPairs, 'labels'> & { readonly classes: ArrayLike<number> },
): Promise<Evaluation> {
  const found = await score(pairsOf(first, second));
  const chosen = first.map((_, row) => largestAt(rowOf(found, row)));
  const right = chosen.filter((label, row) => label === classes[row]).length / first.length;
  const occurring = [...new Set([...chosen, ...Array.from(classes)])];
  const f1s = occurring.map((label) => {
    const both = chosen.filter((each, row) => each === label && classes[row] === label).length;
    const either =
      chosen.filter((each) => each === label).length + Array.from(classes).filter((each) => each === label).length;
    return (2 * both) / either;
  });
  const macro = f1s.reduce((sum, f1) => sum + f1, 0) / f1s.length;
  return { score: right, metrics: { accuracy: right, f1_macro: macro } };
}

function largestAt(values: Float32Array): number {
  return values.reduce((best, value, at) => (value > values[best]! ? at : best), 0);
}

function pairsOf(first: readonly string[], second: readonly string[]): TextPair[] {
  return first.map((text, row) => [text, second[row]!]);
}

function firstScores({ data, rows, cols }: Matrix): Float32Array {
  return Float32Array.from({ length: rows }, (_, row) => data[row * cols]!);
}
