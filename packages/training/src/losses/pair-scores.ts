/**
 * Pointwise and contrastive losses of rerankers, over the scores of (query, document) pairs. They follow
 * `sentence_transformers.cross_encoder.losses`.
 */
import { logSoftmax, softplus, type Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, firstOf, labelsOf, type Loss } from '../loss.ts';
import { marginError } from './distillation.ts';
import { meanOf } from './distance.ts';

/** The activation that a loss applies to the model's scores. */
export type ScoreActivation = 'Identity' | 'Sigmoid';

/** An option that most losses of rerankers have. */
export interface ScoreOptionsOfLoss {
  /** @default 'Identity' */
  readonly activation?: ScoreActivation | undefined;
}

/** Options of {@link binaryCrossEntropyLoss}. */
export interface BinaryCrossEntropyOptions extends ScoreOptionsOfLoss {
  /** Weight of positive pairs relative to negative ones, for data with few positives. Above 0. @default 1 */
  readonly positiveWeight?: number | undefined;
}

/**
 * Binary cross entropy with logits. The label of a pair is a probability from 0 to 1. For a model with several labels,
 * it is one probability per label: several labels can apply to one pair.
 * @throws SentvecError `invalid-argument`
 */
export function binaryCrossEntropyLoss(options: BinaryCrossEntropyOptions = {}): Loss {
  checkOptionNames('binaryCrossEntropyLoss()', options, { activation: true, positiveWeight: true });
  const { activation = 'Identity', positiveWeight = 1 } = options;
  checkedParameter('BinaryCrossEntropyLoss', 'pos_weight', positiveWeight, 'positive');
  return {
    name: 'BinaryCrossEntropyLoss',
    over: 'scores',
    columns: { least: 2, most: 2 },
    labels: 'targets',
    parameters: { activation_fn: activation, pos_weight: positiveWeight },
    compute(ops, columns, labels) {
      const scores = activated(ops, firstOf(columns), activation);
      const targets = ops.reshape(labelsOf(labels), ops.shape(scores));
      const weights = ops.add(ops.multiply(targets, positiveWeight - 1), 1);
      const costs = ops.multiply(weights, softplus(ops, ops.multiply(scores, -1)));
      return meanOf(ops, ops.add(ops.multiply(ops.subtract(1, targets), scores), costs));
    },
  };
}

/** Cross entropy for a model with several exclusive labels, such as entailment, neutral, contradiction. */
export function crossEntropyLoss(options: ScoreOptionsOfLoss = {}): Loss {
  checkOptionNames('crossEntropyLoss()', options, { activation: true });
  const { activation = 'Identity' } = options;
  return {
    name: 'CrossEntropyLoss',
    over: 'scores',
    columns: { least: 2, most: 2 },
    labels: 'index',
    parameters: { activation_fn: activation },
    compute(ops, columns, labels) {
      const scores = activated(ops, firstOf(columns), activation);
      return crossEntropy(ops, scores, labelsOf(labels));
    },
  };
}

/** Mean cross entropy of logits, `[examples, classes]`, with class indices, `[examples]`. */
export function crossEntropy<Tensor>(ops: Operations<Tensor>, scores: Tensor, classes: Tensor): Tensor {
  const [examples, count] = ops.shape(scores);
  const numbers = ops.reshape(ops.toFloat(ops.range(count!)), [1, count!]);
  const isRight = ops.equal(ops.reshape(classes, [examples!, 1]), numbers);
  return meanOf(ops, ops.multiply(ops.sum(ops.multiply(isRight, logSoftmax(ops, scores)), [1]), -1));
}

/** Mean squared error of a pair's score against its label, such as a teacher's score (Hinton et al., 2015). */
export function scoreMseLoss(options: ScoreOptionsOfLoss = {}): Loss {
  checkOptionNames('scoreMseLoss()', options, { activation: true });
  const { activation = 'Identity' } = options;
  return {
    name: 'MSELoss',
    over: 'scores',
    columns: { least: 2, most: 2 },
    labels: 'score',
    parameters: { activation_fn: activation },
    compute(ops, columns, labels) {
      const scores = activated(ops, firstOf(columns), activation);
      const error = ops.subtract(scores, ops.reshape(labelsOf(labels), ops.shape(scores)));
      return meanOf(ops, ops.multiply(error, error));
    },
  };
}

/**
 * Mean squared error of score margins against a teacher's (Hofstätter et al., 2020). A margin is the score of the
 * positive minus that of a negative. Columns: query, positive, negatives. A label is the teacher's margin for each
 * negative, or its scores of the positive and of each negative.
 */
export function scoreMarginMseLoss(options: ScoreOptionsOfLoss = {}): Loss {
  checkOptionNames('scoreMarginMseLoss()', options, { activation: true });
  const { activation = 'Identity' } = options;
  return {
    name: 'MarginMSELoss',
    over: 'scores',
    columns: { least: 3, most: Infinity },
    labels: 'margin',
    parameters: { activation_fn: activation },
    compute(ops, columns, labels) {
      const scores = activated(ops, ops.concat(columns, 1), activation);
      return marginError(ops, scores, labelsOf(labels), columns.length - 1);
    },
  };
}

/** Options of {@link scoreRankingLoss}. */
export interface ScoreRankingOptions extends ScoreOptionsOfLoss {
  /** How many documents of other examples of the batch each query is scored with. At least 1. @default 4 */
  readonly negatives?: number | undefined;
  /** Scores are multiplied by it after the activation. Above 0. @default 10 */
  readonly scale?: number | undefined;
  /** @default 'Sigmoid' */
  readonly activation?: ScoreActivation | undefined;
}

/**
 * In-batch negatives for rerankers: for each query, the cross entropy of its positive among its hard negatives and
 * documents of other examples, which are drawn at random. Columns: query, positive, hard negatives.
 * @throws SentvecError `invalid-argument`
 */
export function scoreRankingLoss(options: ScoreRankingOptions = {}): Loss {
  checkOptionNames('scoreRankingLoss()', options, { negatives: true, scale: true, activation: true });
  const { negatives = 4, scale = 10, activation = 'Sigmoid' } = options;
  checkedParameter('MultipleNegativesRankingLoss', 'scale', scale, 'positive');
  if (!(Number.isSafeInteger(negatives) && negatives >= 1))
    throw new SentvecError(
      'invalid-argument',
      `MultipleNegativesRankingLoss: "num_negatives" must be a whole number of at least 1, not ${negatives}. To use all other pairs of a batch, set it to the batch size minus 1.`,
    );
  return {
    name: 'MultipleNegativesRankingLoss',
    over: 'scores',
    columns: { least: 2, most: Infinity },
    labels: 'none',
    inBatchNegatives: negatives,
    smallestBatch: 1 + negatives,
    parameters: { num_negatives: negatives, scale, activation_fn: activation },
    compute(ops, columns) {
      const scores = ops.multiply(activated(ops, ops.concat(columns, 1), activation), scale);
      const right = ops.slice(scores, 1, 0, 1);
      return meanOf(ops, ops.subtract(ops.logSumExp(scores, [1], true), right));
    },
  };
}

/** Applies an activation to scores. */
export function activated<Tensor>(ops: Operations<Tensor>, scores: Tensor, activation: ScoreActivation): Tensor {
  return activation === 'Sigmoid' ? ops.sigmoid(scores) : scores;
}
