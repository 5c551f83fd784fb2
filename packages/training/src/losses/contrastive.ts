// Losses over pairs of which each is similar or not.
import type { Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, labelsOf, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairDistances, pairwiseDistance, type Distance } from './distance.ts';

/** Options of {@link contrastiveLoss} and {@link onlineContrastiveLoss}. */
export interface ContrastiveOptions {
  /** @default 'cosine' */
  readonly distance?: Distance | undefined;
  /** Dissimilar pairs farther apart than this cost nothing. At least 0. @default 0.5 */
  readonly margin?: number | undefined;
}

/** Half of d² for similar pairs, half of relu(margin - d)² for dissimilar ones; their mean (Hadsell et al., 2006). */
export function contrastiveLoss(
  options: ContrastiveOptions & {
    /** Whether the mean of the pairs counts, or their sum. @default true */
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
      const apart = pairwiseDistance(ops, anchor, positive, distance);
      const costs = ops.multiply(0.5, pairCosts(ops, apart, similar, margin));
      return sizeAverage ? meanOf(ops, costs) : ops.sum(costs, [0]);
    },
  };
}

/**
 * Contrastive loss over the hard pairs of a batch only, summed: dissimilar pairs nearer than the farthest similar one,
 * similar pairs farther apart than the nearest dissimilar one. With at most one similar pair the mean of the dissimilar
 * distances is used instead, and vice versa. Follows `OnlineContrastiveLoss` of sentence-transformers.
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
      const apart = pairwiseDistance(ops, anchor, positive, distance);
      const farthestSimilar = thresholdFrom(ops, apart, similar, dissimilar);
      const nearestDissimilar = ops.subtract(0, thresholdFrom(ops, ops.subtract(0, apart), dissimilar, similar));
      const hard = ops.where(similar, ops.greater(apart, nearestDissimilar), ops.greater(farthestSimilar, apart));
      return ops.sum(ops.multiply(hard, pairCosts(ops, apart, similar, margin)), [0]);
    },
  };
}

/** d² where similar, relu(margin - d)² where not: `[pairs]`. */
function pairCosts<Tensor>(ops: Operations<Tensor>, apart: Tensor, similar: Tensor, margin: number): Tensor {
  const lacking = ops.relu(ops.subtract(margin, apart));
  return ops.where(similar, ops.multiply(apart, apart), ops.multiply(lacking, lacking));
}

/** The largest value of a group, or the mean of the other group when the group has fewer than two members. */
function thresholdFrom<Tensor>(ops: Operations<Tensor>, values: Tensor, group: Tensor, others: Tensor): Tensor {
  const largest = ops.max(ops.where(group, values, -1e30), [0]);
  const mean = ops.divide(ops.sum(ops.multiply(values, others), [0]), ops.maximum(ops.sum(others, [0]), 1));
  return ops.where(ops.greater(ops.sum(group, [0]), 1), largest, mean);
}
