import { firstOf, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairwiseDistance, type Distance } from './distance.ts';

/** Options of {@link tripletLoss}. */
export interface TripletOptions {
  /** Default `euclidean`. */
  readonly distance?: Distance;
  /**
   * How much nearer the positive has to be than the negative. Default 5, as in sentence-transformers; choose about 0.5
   * with `cosine`.
   */
  readonly margin?: number;
}

/** Mean of relu(d(anchor, positive) - d(anchor, negative) + margin) (FaceNet: Schroff et al., 2015). */
export function tripletLoss({ distance = 'euclidean', margin = 5 }: TripletOptions = {}): Loss {
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
