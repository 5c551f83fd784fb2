// Losses whose negatives are the other examples of the batch.
import { normalizeRows, type Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, pairOf, type Loss } from '../loss.ts';
import { identity, matrixSimilarities, meanOf, pairwiseDot } from './distance.ts';

/** Options of {@link multipleNegativesRankingLoss}. */
export interface RankingOptions {
  /** Multiplies similarities: the inverse of the temperature. Above 0. @default 20 */
  readonly scale?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: 'cosine' | 'dot' | undefined;
}

/** What is compared with what; "doc" is a positive or a hard negative. */
export type RankingDirection = 'query_to_doc' | 'query_to_query' | 'doc_to_query' | 'doc_to_doc';

/** Options of {@link multipleNegativesRankingLoss}. */
export interface DirectedRankingOptions extends RankingOptions {
  /**
   * Which similarities count besides those of queries to documents, which always do: of queries to other queries, of a
   * positive to all queries, of a positive to the documents of other queries (GTE: Li et al., 2023).
   * @default ['query_to_doc']
   */
  readonly directions?: readonly RankingDirection[] | undefined;
  /**
   * `joint`: one softmax over all of them. `per_direction`: one for each direction, averaged; each must then contain the
   * positive.
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
 * In-batch negatives: cross entropy of finding an anchor's positive among all positives and all hard negatives of the
 * batch (Henderson et al., 2017; InfoNCE of van den Oord et al., 2018). Columns: anchor, positive, then any number of
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
          if (direction === 'query_to_query') return ops.where(same, never, compared(queries, queries));
          if (direction === 'doc_to_query') return compared(positive, queries);
          const own = ops.concat(
            columns.slice(1).map(() => same),
            1,
          );
          return ops.where(own, never, compared(positive, candidatesOf(ops, columns, similarity)));
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

/** A score whose exponential is 0. */
const never = -1e30;

function checkDirections(directions: readonly RankingDirection[], partition: 'joint' | 'per_direction'): void {
  const refuse = (message: string): never => {
    throw new SentvecError('invalid-argument', `MultipleNegativesRankingLoss: ${message}`);
  };
  const unknown = directions.find((direction) => !rankingDirections.includes(direction));
  if (unknown !== undefined) refuse(`there is no direction "${unknown}". There are: ${rankingDirections.join(', ')}.`);
  if (!directions.includes('query_to_doc')) refuse('"directions" must contain query_to_doc, which has the positive.');
  const without = directions.find((direction) => direction === 'query_to_query' || direction === 'doc_to_doc');
  if (partition === 'per_direction' && without !== undefined)
    refuse(`${without} never contains the positive. With it, "partition_mode" must be joint.`);
}

/**
 * The mean of {@link multipleNegativesRankingLoss} and of its opposite direction: finding a positive's anchor among all
 * anchors (CLIP: Radford et al., 2021).
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
 * `all`: scaled similarity of each anchor to each candidate, `[pairs, candidates]`, positives first; `right`: to its
 * own positive.
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

/** Positives and hard negatives, one below the other. */
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
