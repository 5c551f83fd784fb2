// Triplet losses: an anchor should be nearer to its positive than to its negative.
import type { Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, firstOf, labelsOf, pairOf, type Loss } from '../loss.ts';
import {
  distanceMatrix,
  identity,
  matrixDistances,
  meanOf,
  pairDistances,
  pairwiseDistance,
  type Distance,
} from './distance.ts';

/** Options of {@link tripletLoss}. */
export interface TripletOptions {
  /** @default 'euclidean' */
  readonly distance?: Distance | undefined;
  /**
   * How much nearer than the negative the positive should be. At least 0. The default is that of sentence-transformers,
   * for `euclidean`; about 0.5 is sensible for `cosine`.
   * @default 5
   */
  readonly margin?: number | undefined;
}

/** Mean of relu(d(anchor, positive) - d(anchor, negative) + margin) (FaceNet: Schroff et al., 2015). */
export function tripletLoss(options: TripletOptions = {}): Loss {
  checkOptionNames('tripletLoss()', options, { distance: true, margin: true });
  const { distance = 'euclidean', margin = 5 } = options;
  checkedChoice('TripletLoss', 'distance', distance, pairDistances);
  checkedParameter('TripletLoss', 'margin', margin);
  return {
    name: 'TripletLoss',
    columns: { least: 3, most: 3 },
    labels: 'none',
    parameters: { distance, margin },
    compute(ops, columns) {
      const [anchor, positive] = pairOf(columns);
      const negative = firstOf(columns.slice(2));
      const near = pairwiseDistance(ops, anchor, positive, distance);
      const far = pairwiseDistance(ops, anchor, negative, distance);
      return meanOf(ops, ops.relu(ops.add(ops.subtract(near, far), margin)));
    },
  };
}

/** Options of {@link batchHardTripletLoss}, {@link batchSemiHardTripletLoss} and {@link batchAllTripletLoss}. */
export interface BatchTripletOptions {
  /** @default 'euclidean' */
  readonly distance?: 'cosine' | 'euclidean' | undefined;
  /** At least 0. @default 5 */
  readonly margin?: number | undefined;
}

/**
 * The mean over texts of relu(d(text, farthest text of its class) - d(text, nearest text of another class) + margin)
 * (Hermans et al., 2017).
 */
export function batchHardTripletLoss(options: BatchTripletOptions = {}): Loss {
  checkOptionNames('batchHardTripletLoss()', options, { distance: true, margin: true });
  const { distance = 'euclidean', margin = 5 } = options;
  return batchLoss('BatchHardTripletLoss', { distance, margin }, (ops, distances, masks) => {
    const { farthest, nearest } = hardest(ops, distances, masks);
    return meanOf(ops, ops.relu(ops.add(ops.subtract(farthest, nearest), margin)));
  });
}

/**
 * The mean over texts of log(1 + exp(d(text, farthest text of its class) - d(text, nearest text of another class))). It
 * has no margin, and well-separated texts still have a small gradient (Hermans et al., 2017).
 * @param options.distance default `euclidean`
 */
export function batchHardSoftMarginTripletLoss(options: Pick<BatchTripletOptions, 'distance'> = {}): Loss {
  checkOptionNames('batchHardSoftMarginTripletLoss()', options, { distance: true });
  const { distance = 'euclidean' } = options;
  return batchLoss('BatchHardSoftMarginTripletLoss', { distance }, (ops, distances, masks) => {
    const { farthest, nearest } = hardest(ops, distances, masks);
    const excess = ops.reshape(ops.subtract(farthest, nearest), [ops.shape(distances)[0]!, 1]);
    return meanOf(ops, ops.logSumExp(ops.concat([ops.multiply(excess, 0), excess], 1), [1]));
  });
}

/**
 * The mean of relu(d(anchor, positive) - d(anchor, negative) + margin) over all pairs of texts of a class. The negative
 * is the nearest one that is farther away than the positive; if there is none, the farthest one (FaceNet: Schroff et
 * al., 2015).
 */
export function batchSemiHardTripletLoss(options: BatchTripletOptions = {}): Loss {
  checkOptionNames('batchSemiHardTripletLoss()', options, { distance: true, margin: true });
  const { distance = 'euclidean', margin = 5 } = options;
  return batchLoss('BatchSemiHardTripletLoss', { distance, margin }, (ops, distances, { positive, different }) => {
    const rows = ops.shape(distances)[0]!;
    const candidates = ops.reshape(distances, [rows, 1, rows]);
    const farther = ops.greater(candidates, ops.reshape(distances, [rows, rows, 1]));
    const isOutside = ops.multiply(ops.reshape(different, [rows, 1, rows]), farther);
    const outside = ops.subtract(0, ops.max(ops.where(isOutside, ops.subtract(0, candidates), -far), [2]));
    const inside = ops.max(ops.multiply(different, distances), [1], true);
    const negative = ops.where(ops.max(isOutside, [2]), outside, inside);
    const costs = ops.relu(ops.multiply(positive, ops.add(ops.subtract(distances, negative), margin)));
    return ops.divide(ops.sum(costs, [0, 1]), ops.maximum(ops.sum(positive, [0, 1]), 1e-16));
  });
}

/** Larger than any distance. */
const far = 1e30;

/**
 * For each text, the distances of the farthest text of its class and of the nearest text of another class: `[rows]`
 * each.
 */
function hardest<Tensor>(ops: Operations<Tensor>, distances: Tensor, { positive, different }: ClassMasks<Tensor>) {
  // Texts of the same class get a distance beyond the farthest text, so that they are never the nearest.
  const beyond = ops.add(distances, ops.multiply(ops.max(distances, [1], true), ops.subtract(1, different)));
  return {
    farthest: ops.max(ops.multiply(positive, distances), [1]),
    nearest: ops.subtract(0, ops.max(ops.subtract(0, beyond), [1])),
  };
}

/**
 * The mean of relu(d(anchor, positive) - d(anchor, negative) + margin) over all triplets of a batch for which it is
 * above zero (Hermans et al., 2017).
 */
export function batchAllTripletLoss(options: BatchTripletOptions = {}): Loss {
  checkOptionNames('batchAllTripletLoss()', options, { distance: true, margin: true });
  const { distance = 'euclidean', margin = 5 } = options;
  return batchLoss('BatchAllTripletLoss', { distance, margin }, (ops, distances, { positive, different }) => {
    const rows = ops.shape(distances)[0]!;
    const middle = (x: typeof distances) => ops.reshape(x, [rows, rows, 1]);
    const last = (x: typeof distances) => ops.reshape(x, [rows, 1, rows]);
    const lacking = ops.relu(ops.add(ops.subtract(middle(distances), last(distances)), margin));
    const costs = ops.multiply(lacking, ops.multiply(middle(positive), last(different)));
    const counted = ops.sum(ops.greater(costs, 1e-16), [0, 1, 2]);
    return ops.divide(ops.sum(costs, [0, 1, 2]), ops.add(counted, 1e-16));
  });
}

/**
 * Both `[rows, rows]`. `positive`: 1 for two texts of the same class. `different`: 1 for texts of different classes.
 */
interface ClassMasks<Tensor> {
  readonly positive: Tensor;
  readonly different: Tensor;
}

function batchLoss(
  name: string,
  parameters: { readonly distance: 'cosine' | 'euclidean'; readonly margin?: number },
  cost: <Tensor>(ops: Operations<Tensor>, distances: Tensor, masks: ClassMasks<Tensor>) => Tensor,
): Loss {
  checkedChoice(name, 'distance', parameters.distance, matrixDistances);
  if (parameters.margin !== undefined) checkedParameter(name, 'margin', parameters.margin);
  return {
    name,
    columns: { least: 1, most: 1 },
    labels: 'class',
    smallestBatch: 2,
    parameters: { ...parameters },
    compute(ops, columns, labels) {
      const classes = labelsOf(labels);
      const rows = ops.shape(classes)[0]!;
      const same = ops.equal(ops.reshape(classes, [rows, 1]), ops.reshape(classes, [1, rows]));
      const masks = { positive: ops.subtract(same, identity(ops, rows)), different: ops.subtract(1, same) };
      return cost(ops, distanceMatrix(ops, firstOf(columns), parameters.distance), masks);
    },
  };
}
