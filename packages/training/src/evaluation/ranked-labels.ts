// Metrics of binary labels that are ranked by a score: best thresholds, average precision, NDCG.

/** Scores in descending order, and the label of each: positive (1) or negative (0). */
export interface RankedLabels {
  readonly scores: readonly number[];
  readonly labels: readonly number[];
}

/** The best value of a metric, and the threshold that reaches it: scores at or above it count as positive. */
export interface Threshold {
  readonly value: number;
  readonly threshold: number;
}

/** Sorts scores in descending order, together with their labels (1 or 0). */
export function rankLabels(scores: ArrayLike<number>, labels: ArrayLike<number>): RankedLabels {
  const order = Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
  return { scores: order.map((i) => scores[i]!), labels: order.map((i) => labels[i]!) };
}

/** The highest accuracy of all thresholds. The thresholds are the midpoints between consecutive scores. */
export function bestAccuracy({ scores, labels }: RankedLabels): Threshold {
  let negativesLeft = labels.filter((label) => label === 0).length;
  let positivesSoFar = 0;
  let best = { value: 0, threshold: -1 };
  for (let i = 0; i < labels.length - 1; i++) {
    if (labels[i] === 1) positivesSoFar++;
    else negativesLeft--;
    const value = (positivesSoFar + negativesLeft) / labels.length;
    if (value > best.value) best = { value, threshold: (scores[i]! + scores[i + 1]!) / 2 };
  }
  return best;
}

/** The highest F1 of all thresholds, with its precision and recall. */
export function bestF1({
  scores,
  labels,
}: RankedLabels): Threshold & { readonly precision: number; readonly recall: number } {
  const positives = labels.filter((label) => label === 1).length;
  let best = { value: 0, threshold: 0, precision: 0, recall: 0 };
  let right = 0;
  for (let i = 0; i < labels.length - 1; i++) {
    if (labels[i] === 1) right++;
    if (right === 0) continue;
    const [precision, recall] = [right / (i + 1), right / positives];
    const value = (2 * precision * recall) / (precision + recall);
    if (value > best.value) best = { value, precision, recall, threshold: (scores[i]! + scores[i + 1]!) / 2 };
  }
  return best;
}

/**
 * Average precision: Σ (Rₙ - Rₙ₋₁) Pₙ over the distinct scores, as `average_precision_score` of scikit-learn. 0 if
 * there are no positives.
 */
export function averagePrecision({ scores, labels }: RankedLabels): number {
  const positives = labels.filter((label) => label === 1).length;
  let right = 0;
  let counted = 0;
  let area = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === 1) right++;
    if (i + 1 < labels.length && scores[i + 1] === scores[i]) continue;
    area += ((right - counted) / positives) * (right / (i + 1));
    counted = right;
  }
  return positives === 0 ? 0 : area;
}

/** NDCG at k: Σ label / log₂(rank + 1) over the first k, divided by the same sum of the ideal order. */
export function discountedGain(labels: readonly number[], k: number): number {
  const gain = (list: readonly number[]) =>
    list.slice(0, k).reduce((sum, label, i) => sum + label / Math.log2(i + 2), 0);
  const ideal = gain(labels.toSorted((a, b) => b - a));
  return ideal === 0 ? 0 : gain(labels) / ideal;
}
