// Distances and similarities of embeddings, written with tensor operations, for losses.
import { absolute, mean, normalizeRows, type Dimension, type Operations } from '@sentvec/architectures';

/** A distance of two embeddings. `cosine` is 1 - cosine similarity. */
export type Distance = 'cosine' | 'euclidean' | 'manhattan';

/** All values of {@link Distance}. */
export const pairDistances: readonly Distance[] = ['cosine', 'euclidean', 'manhattan'];

/** The distances that {@link distanceMatrix} computes. */
export const matrixDistances = ['cosine', 'euclidean'] as const;

/** The mean of all entries, shape `[]`. */
export function meanOf<Tensor>(ops: Operations<Tensor>, x: Tensor): Tensor {
  const axes = ops.shape(x).map((_, axis) => axis);
  return mean(ops, x, axes);
}

/** Dot product of row i of `a` and row i of `b`: `[rows]`. */
export function pairwiseDot<Tensor>(ops: Operations<Tensor>, a: Tensor, b: Tensor): Tensor {
  return ops.sum(ops.multiply(a, b), [1]);
}

/** Cosine similarity of row i of `a` and row i of `b`: `[rows]`. */
export function pairwiseCosine<Tensor>(ops: Operations<Tensor>, a: Tensor, b: Tensor): Tensor {
  return pairwiseDot(ops, normalizeRows(ops, a), normalizeRows(ops, b));
}

/**
 * A similarity of two embeddings: larger is nearer. Same names as `SimilarityFunction`; `euclidean` and `manhattan` are
 * negative distances.
 */
export type PairSimilarity = 'cosine' | 'dot' | 'euclidean' | 'manhattan';

/** All values of {@link PairSimilarity}. */
export const pairSimilarities: readonly PairSimilarity[] = ['cosine', 'dot', 'euclidean', 'manhattan'];

/** The similarities that {@link similarityMatrix} computes. */
export const matrixSimilarities = ['cosine', 'dot'] as const;

/** Similarity of row i of `a` and row i of `b`: `[rows]`. */
export function pairwiseSimilarityOf<Tensor>(
  ops: Operations<Tensor>,
  a: Tensor,
  b: Tensor,
  similarity: PairSimilarity,
): Tensor {
  if (similarity === 'cosine') return pairwiseCosine(ops, a, b);
  if (similarity === 'dot') return pairwiseDot(ops, a, b);
  return ops.subtract(0, pairwiseDistance(ops, a, b, similarity));
}

/**
 * Distance of row i of `a` to row i of `b`: `[rows]`. Like `torch.nn.functional.pairwise_distance`, it adds 1e-6 to the
 * differences, so that the gradient is finite for equal rows.
 */
export function pairwiseDistance<Tensor>(ops: Operations<Tensor>, a: Tensor, b: Tensor, distance: Distance): Tensor {
  if (distance === 'cosine') return ops.subtract(1, pairwiseCosine(ops, a, b));
  const difference = ops.add(ops.subtract(a, b), 1e-6);
  if (distance === 'manhattan') return ops.sum(absolute(ops, difference), [1]);
  return ops.sqrt(ops.sum(ops.multiply(difference, difference), [1]));
}

/** `[rows, rows]`, 1 on the diagonal and 0 elsewhere. */
export function identity<Tensor>(ops: Operations<Tensor>, rows: Dimension): Tensor {
  const index = ops.toFloat(ops.range(rows));
  return ops.equal(ops.reshape(index, [rows, 1]), ops.reshape(index, [1, rows]));
}

/** Similarity of every row of `a` to every row of `b`: `[rows of a, rows of b]`. */
export function similarityMatrix<Tensor>(
  ops: Operations<Tensor>,
  a: Tensor,
  b: Tensor,
  similarity: 'cosine' | 'dot',
): Tensor {
  const comparable = (x: Tensor): Tensor => (similarity === 'cosine' ? normalizeRows(ops, x) : x);
  return ops.matmul(comparable(a), comparable(b), { transposeRight: true });
}

/** Distance of every row to every row: `[rows, rows]`. For equal rows, the distance and its gradient are 0. */
export function distanceMatrix<Tensor>(ops: Operations<Tensor>, x: Tensor, distance: 'cosine' | 'euclidean'): Tensor {
  if (distance === 'cosine') {
    return ops.subtract(1, similarityMatrix(ops, x, x, 'cosine'));
  }
  const rows = ops.shape(x)[0]!;
  const squares = ops.sum(ops.multiply(x, x), [1], true);
  const products = ops.matmul(x, x, { transposeRight: true });
  const squared = ops.subtract(ops.add(squares, ops.reshape(squares, [1, rows])), ops.multiply(2, products));
  const apart = ops.greater(squared, 0);
  return ops.where(apart, ops.sqrt(ops.where(apart, squared, 1)), 0);
}
