// Contrastive losses, over pairs that are labelled as similar (1) or dissimilar (0).
import type { Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, labelsOf, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairDistances, pairwiseDistance, type Distance } from './distance.ts';

/** Options of {@link contrastiveLoss} and {@link onlineContrastiveLoss}. */
export interface ContrastiveOptions {
  /** @default 'cosine' */
  readonly distance?: Distance | undefined;
  /** The loss of a dissimilar pair is 0 if its distance is at least this. At least 0. @default 0.5 */
  readonly margin?: number | undefined;
}

/** The mean over pairs of d² / 2 for similar and relu(margin - d)² / 2 for dissimilar pairs (Hadsell et al., 2006). */
export function contrastiveLoss(
  options: ContrastiveOptions & {
    /** Whether the loss is the mean over pairs (true) or their sum (false). @default true */
    readonly sizeAverage?: boolean | undefined;
  } = {},
): Loss {
  checkOptionNames('contrastiveLoss()', options, { distance: true, margin: true, sizeAverage: true });
  const { distance = 'cosine', margin = 0.5, sizeAverage = true } = options;
  checkedChoice('ContrastiveLoss', 'distance', distance, pairDistances);
  checkedParameter('ContrastiveLoss', 'margin', margin);
  return {
    name: 'ContrastiveLoss',
    columns: { least: 2, most: 2 },
    labels: 'binary',
    parameters: { distance, margin, size_average: sizeAverage },
    compute(ops, columns, labels) {
      const similar = labelsOf(labels);
      const [anchor, positive] = pairOf(columns);
      const distances = pairwiseDistance(ops, anchor, positive, distance);
      const costs = ops.multiply(0.5, pairCosts(ops, distances, similar, margin));
      return sizeAverage ? meanOf(ops, costs) : ops.sum(costs, [0]);
    },
  };
}

/**
 * Contrastive loss summed over the hard pairs of a batch: dissimilar pairs that are nearer than the farthest similar
 * pair, and similar pairs that are farther distances than the nearest dissimilar pair. If a batch has at most one
 * similar pair, the mean dissimilar distance replaces its threshold, and vice versa. Follows `OnlineContrastiveLoss` of
 * sentence-transformers.
 */
export function onlineContrastiveLoss(options: ContrastiveOptions = {}): Loss {
  checkOptionNames('onlineContrastiveLoss()', options, { distance: true, margin: true });
  const { distance = 'cosine', margin = 0.5 } = options;
  checkedChoice('OnlineContrastiveLoss', 'distance', distance, pairDistances);
  checkedParameter('OnlineContrastiveLoss', 'margin', margin);
  return {
    name: 'OnlineContrastiveLoss',
    columns: { least: 2, most: 2 },
    labels: 'binary',
    parameters: { distance, margin },
    compute(ops, columns, labels) {
      const similar = labelsOf(labels);
      const dissimilar = ops.subtract(1, similar);
      const [anchor, positive] = pairOf(columns);
      const distances = pairwiseDistance(ops, anchor, positive, distance);
      const farthestSimilar = thresholdFrom(ops, distances, similar, dissimilar);
      const nearestDissimilar = ops.subtract(0, thresholdFrom(ops, ops.subtract(0, distances), dissimilar, similar));
      const hard = ops.where(
        similar,
        ops.greater(distances, nearestDissimilar),
        ops.greater(farthestSimilar, distances),
      );
      return ops.sum(ops.multiply(hard, pairCosts(ops, distances, similar, margin)), [0]);
    },
  };
}

/** d² where similar, relu(margin - d)² where not: `[pairs]`. */
function pairCosts<Tensor>(ops: Operations<Tensor>, distances: Tensor, similar: Tensor, margin: number): Tensor {
  const lacking = ops.relu(ops.subtract(margin, distances));
  return ops.where(similar, ops.multiply(distances, distances), ops.multiply(lacking, lacking));
}

/** The largest value of a group. If the group has fewer than two members: the mean of the other group. */
function thresholdFrom<Tensor>(ops: Operations<Tensor>, values: Tensor, group: Tensor, others: Tensor): Tensor {
  const largest = ops.max(ops.where(group, values, -1e30), [0]);
  const mean = ops.divide(ops.sum(ops.multiply(values, others), [0]), ops.maximum(ops.sum(others, [0]), 1));
  return ops.where(ops.greater(ops.sum(group, [0]), 1), largest, mean);
}
