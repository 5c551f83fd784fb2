// Losses with in-batch negatives: the texts of other examples of the batch are negatives.
import { normalizeRows, type Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, pairOf, type Loss } from '../loss.ts';
import { identity, matrixSimilarities, meanOf, pairwiseDot } from './distance.ts';

/** Options of {@link multipleNegativesRankingLoss}. */
export interface RankingOptions {
  /** Similarities are multiplied by it: the inverse of the temperature. Above 0. @default 20 */
  readonly scale?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: 'cosine' | 'dot' | undefined;
}

/** Which columns are compared; "doc" is a positive or a hard negative. */
export type RankingDirection = 'query_to_doc' | 'query_to_query' | 'doc_to_query' | 'doc_to_doc';

/** Options of {@link multipleNegativesRankingLoss}. */
export interface DirectedRankingOptions extends RankingOptions {
  /**
   * The similarities that the loss contrasts (GTE: Li et al., 2023). `query_to_doc` is required. `query_to_query`:
   * queries with other queries. `doc_to_query`: positives with all queries. `doc_to_doc`: positives with the documents
   * of other queries.
   * @default ['query_to_doc']
   */
  readonly directions?: readonly RankingDirection[] | undefined;
  /**
   * `joint`: one softmax over all directions. `per_direction`: one softmax for each direction, averaged; it allows only
   * `query_to_doc` and `doc_to_query`, because each softmax must contain the positive.
   * @default 'joint'
   */
  readonly partition?: 'joint' | 'per_direction' | undefined;
}

/** All directions. */
export const rankingDirections: readonly RankingDirection[] = [
  'query_to_doc',
  'query_to_query',
  'doc_to_query',
  'doc_to_doc',
];

/**
 * In-batch negatives: for each anchor, the cross entropy of its positive among all positives and all hard negatives of
 * the batch (Henderson et al., 2017; InfoNCE: van den Oord et al., 2018). Columns: anchor, positive, then any number of
 * hard negatives.
 * @throws SentvecError `invalid-argument`
 */
export function multipleNegativesRankingLoss(options: DirectedRankingOptions = {}): Loss {
  const names = { scale: true, similarity: true, directions: true, partition: true } as const;
  checkOptionNames('multipleNegativesRankingLoss()', options, names);
  const { scale = 20, similarity = 'cosine', directions = ['query_to_doc'], partition = 'joint' } = options;
  checkedParameter('MultipleNegativesRankingLoss', 'scale', scale, 'positive');
  checkedChoice('MultipleNegativesRankingLoss', 'similarity', similarity, matrixSimilarities);
  checkedChoice('MultipleNegativesRankingLoss', 'partition_mode', partition, ['joint', 'per_direction']);
  checkDirections(directions, partition);
  const isDefault = directions.length === 1;
  return {
    name: 'MultipleNegativesRankingLoss',
    columns: { least: 2, most: Infinity },
    labels: 'none',
    smallestBatch: 2,
    parameters: { scale, similarity, ...(isDefault ? {} : { directions, partition_mode: partition }) },
    compute(ops, columns) {
      const { all, right, queries, positive, pairs } = scoresOf(ops, columns, scale, similarity);
      const matrices = rankingDirections
        .filter((direction) => directions.includes(direction))
        .map((direction) => {
          if (direction === 'query_to_doc') return all;
          const same = identity(ops, pairs);
          const compared = (a: typeof positive, b: typeof positive) =>
            ops.multiply(ops.matmul(a, b, { transposeRight: true }), scale);
          if (direction === 'query_to_query') return ops.where(same, maskedScore, compared(queries, queries));
          if (direction === 'doc_to_query') return compared(positive, queries);
          const own = ops.concat(
            columns.slice(1).map(() => same),
            1,
          );
          return ops.where(own, maskedScore, compared(positive, candidatesOf(ops, columns, similarity)));
        });
      const groups = partition === 'joint' ? [ops.concat(matrices, 1)] : matrices;
      const sums = groups.map((scores) => ops.logSumExp(scores, [1]));
      const normalizer = ops.divide(
        sums.reduce((total, sum) => ops.add(total, sum)),
        sums.length,
      );
      return meanOf(ops, ops.subtract(normalizer, right));
    },
  };
}

/** Score of a masked pair: its exponential is 0. */
const maskedScore = -1e30;

function checkDirections(directions: readonly RankingDirection[], partition: 'joint' | 'per_direction'): void {
  const refuse = (message: string): never => {
    throw new SentvecError('invalid-argument', `MultipleNegativesRankingLoss: ${message}`);
  };
  const unknown = directions.find((direction) => !rankingDirections.includes(direction));
  if (unknown !== undefined) refuse(`there is no direction "${unknown}". Choose from ${rankingDirections.join(', ')}.`);
  if (!directions.includes('query_to_doc'))
    refuse('"directions" must contain query_to_doc, because only this direction has the positive pairs of every loss.');
  const without = directions.find((direction) => direction === 'query_to_query' || direction === 'doc_to_doc');
  if (partition === 'per_direction' && without !== undefined)
    refuse(`the direction ${without} never contains the positive, so "partition_mode" must be joint.`);
}

/**
 * The mean of {@link multipleNegativesRankingLoss} and of the same loss in the opposite direction: for each positive,
 * the cross entropy of its anchor among all anchors (CLIP: Radford et al., 2021).
 */
export function multipleNegativesSymmetricRankingLoss(options: RankingOptions = {}): Loss {
  checkOptionNames('multipleNegativesSymmetricRankingLoss()', options, { scale: true, similarity: true });
  const { scale = 20, similarity = 'cosine' } = options;
  checkedParameter('MultipleNegativesSymmetricRankingLoss', 'scale', scale, 'positive');
  checkedChoice('MultipleNegativesSymmetricRankingLoss', 'similarity', similarity, matrixSimilarities);
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
 * `all`: the scaled similarities of each anchor with each candidate, `[pairs, candidates]`, positives first. `right`:
 * those of each anchor with its own positive, `[pairs]`.
 */
function scoresOf<Tensor>(
  ops: Operations<Tensor>,
  columns: readonly Tensor[],
  scale: number,
  similarity: 'cosine' | 'dot',
) {
  const [anchor, positive] = pairOf(columns).map((column) => comparable(ops, column, similarity)) as [Tensor, Tensor];
  const scaled = ops.multiply(anchor, scale);
  return {
    all: ops.matmul(scaled, candidatesOf(ops, columns, similarity), { transposeRight: true }),
    right: pairwiseDot(ops, scaled, positive),
    queries: anchor,
    positive,
    pairs: ops.shape(anchor)[0]!,
  };
}

/** Positives and hard negatives, concatenated by rows. */
function candidatesOf<Tensor>(
  ops: Operations<Tensor>,
  columns: readonly Tensor[],
  similarity: 'cosine' | 'dot',
): Tensor {
  return ops.concat(
    columns.slice(1).map((column) => comparable(ops, column, similarity)),
    0,
  );
}

function comparable<Tensor>(ops: Operations<Tensor>, x: Tensor, similarity: 'cosine' | 'dot'): Tensor {
  return similarity === 'cosine' ? normalizeRows(ops, x) : x;
}
