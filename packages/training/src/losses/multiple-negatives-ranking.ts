// Losses whose negatives are the other examples of the batch.
import { normalizeRows, type Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairwiseDot } from './distance.ts';

/** Options of {@link multipleNegativesRankingLoss}. */
export interface RankingOptions {
  /** Multiplies similarities: the inverse of the temperature. Above 0. @default 20 */
  readonly scale?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: 'cosine' | 'dot' | undefined;
}

/**
 * In-batch negatives: cross entropy of finding an anchor's positive among all positives and all hard negatives of the
 * batch (Henderson et al., 2017; InfoNCE of van den Oord et al., 2018). Columns: anchor, positive, then any number of
 * hard negatives.
 * @throws SentvecError `invalid-argument`
 */
export function multipleNegativesRankingLoss(options: RankingOptions = {}): Loss {
  checkOptionNames('multipleNegativesRankingLoss()', options, { scale: true, similarity: true });
  const { scale = 20, similarity = 'cosine' } = options;
  checkedParameter('MultipleNegativesRankingLoss', 'scale', scale, 'positive');
  return {
    name: 'MultipleNegativesRankingLoss',
    columns: { least: 2, most: Infinity },
    labels: 'none',
    smallestBatch: 2,
    parameters: { scale, similarity },
    compute(ops, columns) {
      const scored = scoresOf(ops, columns, scale, similarity);
      return meanOf(ops, ops.subtract(ops.logSumExp(scored.all, [1]), scored.right));
    },
  };
}

/**
 * The mean of {@link multipleNegativesRankingLoss} and of its opposite direction: finding a positive's anchor among all
 * anchors (CLIP: Radford et al., 2021).
 */
export function multipleNegativesSymmetricRankingLoss(options: RankingOptions = {}): Loss {
  checkOptionNames('multipleNegativesSymmetricRankingLoss()', options, { scale: true, similarity: true });
  const { scale = 20, similarity = 'cosine' } = options;
  checkedParameter('MultipleNegativesSymmetricRankingLoss', 'scale', scale, 'positive');
  return {
    name: 'MultipleNegativesSymmetricRankingLoss',
    columns: { least: 2, most: Infinity },
    labels: 'none',
    smallestBatch: 2,
    parameters: { scale, similarity },
    compute(ops, columns) {
      const { all, right, pairs } = scoresOf(ops, columns, scale, similarity);
      const forward = ops.subtract(ops.logSumExp(all, [1]), right);
      const positives = ops.slice(all, 1, 0, pairs);
      const backward = ops.subtract(ops.logSumExp(positives, [0]), right);
      return ops.multiply(0.5, ops.add(meanOf(ops, forward), meanOf(ops, backward)));
    },
  };
}

/**
 * `all`: scaled similarity of each anchor to each candidate, `[pairs, candidates]`, positives first; `right`: to its
 * own positive.
 */
function scoresOf<Tensor>(
  ops: Operations<Tensor>,
  columns: readonly Tensor[],
  scale: number,
  similarity: 'cosine' | 'dot',
) {
  const comparable = similarity === 'cosine' ? columns.map((column) => normalizeRows(ops, column)) : columns;
  const [anchor, positive] = pairOf(comparable);
  const candidates = ops.concat(comparable.slice(1), 0);
  const scaled = ops.multiply(anchor, scale);
  return {
    all: ops.matmul(scaled, candidates, { transposeRight: true }),
    right: pairwiseDot(ops, scaled, positive),
    pairs: ops.shape(anchor)[0]!,
  };
}
