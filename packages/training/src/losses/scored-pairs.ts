// Losses over pairs of texts with a similarity score.
import { absolute, productOf, type Operations, type Shape } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, labelsOf, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairSimilarities, pairwiseCosine, pairwiseSimilarityOf, type PairSimilarity } from './distance.ts';

/**
 * Mean squared error of the cosine of two texts against their score: the regression objective of Sentence-BERT (Reimers
 * and Gurevych, 2019).
 */
export function cosineSimilarityLoss(): Loss {
  return {
    name: 'CosineSimilarityLoss',
    columns: { least: 2, most: 2 },
    labels: 'score',
    compute(ops, columns, labels) {
      const [anchor, positive] = pairOf(columns);
      const error = ops.subtract(pairwiseCosine(ops, anchor, positive), labelsOf(labels));
      return meanOf(ops, ops.multiply(error, error));
    },
  };
}

/** Options of {@link cosentLoss}. */
export interface CosentOptions {
  /** Similarities are multiplied by it: the inverse of the temperature. Above 0. @default 20 */
  readonly scale?: number | undefined;
  /** @default 'cosine' */
  readonly similarity?: PairSimilarity | undefined;
}

/**
 * log(1 + Σ exp(scale · (sᵢ - sⱼ))) over all i, j with scoreᵢ < scoreⱼ, where s is the similarity (CoSENT: Su, 2022).
 * It trains pairs to have the same order by similarity as by score.
 */
export function cosentLoss(options: CosentOptions = {}): Loss {
  checkOptionNames('cosentLoss()', options, { scale: true, similarity: true });
  const { scale = 20, similarity = 'cosine' } = options;
  checkedChoice('CoSENTLoss', 'similarity', similarity, pairSimilarities);
  return orderingLoss('CoSENTLoss', { scale, similarity }, (ops, a, b) => pairwiseSimilarityOf(ops, a, b, similarity));
}

/**
 * {@link cosentLoss} with the angle difference in complex space instead of the cosine (AnglE: Li and Li, 2023). The
 * dimension must be even.
 * @param options.scale above 0, default 20
 */
export function angleLoss(options: { readonly scale?: number | undefined } = {}): Loss {
  checkOptionNames('angleLoss()', options, { scale: true });
  const { scale = 20 } = options;
  return {
    ...orderingLoss('AnglELoss', { scale }, pairwiseAngle),
    dimensionError: (dimension) =>
      dimension % 2 === 0 ? undefined : `it needs vectors of an even dimension, not ${dimension}`,
  };
}

function orderingLoss(
  name: string,
  parameters: CosentOptions & { readonly scale: number },
  similarity: <Tensor>(ops: Operations<Tensor>, a: Tensor, b: Tensor) => Tensor,
): Loss {
  checkedParameter(name, 'scale', parameters.scale, 'positive');
  return {
    name,
    columns: { least: 2, most: 2 },
    labels: 'score',
    smallestBatch: 2,
    parameters: { ...parameters },
    compute(ops, columns, labels) {
      const [a, b] = pairOf(columns);
      const scores = labelsOf(labels);
      const similarities = ops.multiply(similarity(ops, a, b), parameters.scale);
      const pairs = ops.shape(scores)[0]!;
      const inColumn: Shape = [pairs, 1];
      const inRow: Shape = [1, pairs];
      const shouldBeLess = ops.greater(ops.reshape(scores, inRow), ops.reshape(scores, inColumn));
      const difference = ops.subtract(ops.reshape(similarities, inColumn), ops.reshape(similarities, inRow));
      const excess = ops.where(shouldBeLess, difference, -1e12);
      const flat = ops.reshape(excess, [productOf([pairs, pairs])]);
      return ops.logSumExp(ops.concat([ops.constant(Float32Array.of(0), [1]), flat], 0), [0]);
    },
  };
}

/**
 * |Σ (ac + bd + bc - ad)| / (|x| |y|), `[rows]`, where (a, b) and (c, d) are the halves of x and y: real and imaginary
 * parts.
 */
function pairwiseAngle<Tensor>(ops: Operations<Tensor>, x: Tensor, y: Tensor): Tensor {
  const dimension = ops.shape(x)[1];
  if (typeof dimension !== 'number' || dimension % 2 !== 0)
    throw new Error(`AnglE needs an even dimension, not ${dimension}.`);
  const half = dimension / 2;
  const [a, b] = [ops.slice(x, 1, 0, half), ops.slice(x, 1, half, half)];
  const [c, d] = [ops.slice(y, 1, 0, half), ops.slice(y, 1, half, half)];
  const real = ops.add(ops.multiply(a, c), ops.multiply(b, d));
  const imaginary = ops.subtract(ops.multiply(b, c), ops.multiply(a, d));
  const norms = ops.multiply(norm(ops, x), norm(ops, y));
  return ops.divide(absolute(ops, ops.sum(ops.add(real, imaginary), [1])), norms);
}

function norm<Tensor>(ops: Operations<Tensor>, x: Tensor): Tensor {
  return ops.sqrt(ops.maximum(ops.sum(ops.multiply(x, x), [1]), 1e-24));
}
