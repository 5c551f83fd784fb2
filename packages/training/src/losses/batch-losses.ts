// Losses that look at a whole batch: hard negatives found in it, negatives filtered by a guide model, and vectors that
// are spread out over the sphere.
import type { Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, labelsOf, pairOf, type Loss } from '../loss.ts';
import { identity, matrixSimilarities, meanOf, pairwiseCosine, similarityMatrix } from './distance.ts';

/** Options of {@link megaBatchMarginLoss}. */
export interface MegaBatchMarginOptions {
  /** The cosine that a pair should at least have. @default 0.8 */
  readonly positiveMargin?: number | undefined;
  /** The cosine that an anchor and the nearest other positive should at most have. @default 0.3 */
  readonly negativeMargin?: number | undefined;
}

/**
 * relu(positive margin - cosine of the pair) + relu(cosine of the anchor to the nearest other positive of the batch -
 * negative margin); the mean (Wieting and Gimpel, 2018). Wants large batches: `cachedExamples`.
 * @throws SentvecError `invalid-argument`
 */
export function megaBatchMarginLoss(options: MegaBatchMarginOptions = {}): Loss {
  checkOptionNames('megaBatchMarginLoss()', options, { positiveMargin: true, negativeMargin: true });
  const { positiveMargin = 0.8, negativeMargin = 0.3 } = options;
  for (const [name, margin] of Object.entries({ positive_margin: positiveMargin, negative_margin: negativeMargin }))
    if (!(margin >= -1 && margin <= 1)) throw parameterError('MegaBatchMarginLoss', name, 'a cosine, -1 to 1', margin);
  return {
    name: 'MegaBatchMarginLoss',
    columns: { least: 2, most: 2 },
    labels: 'none',
    smallestBatch: 2,
    parameters: { positive_margin: positiveMargin, negative_margin: negativeMargin },
    compute(ops, columns) {
      const [anchor, positive] = pairOf(columns);
      const all = similarityMatrix(ops, anchor, positive, 'cosine');
      const nearest = ops.max(ops.where(identity(ops, ops.shape(all)[0]!), never, all), [1]);
      const lacking = ops.relu(ops.subtract(positiveMargin, pairwiseCosine(ops, anchor, positive)));
      return meanOf(ops, ops.add(lacking, ops.relu(ops.subtract(nearest, negativeMargin))));
    },
  };
}

/** A score whose exponential is 0, and which is below any cosine. */
const never = -1e30;

/** Options of {@link gistEmbedLoss}. */
export interface GistEmbedOptions {
  /** Divides similarities. Above 0. @default 0.01 */
  readonly temperature?: number | undefined;
  /**
   * From which similarity on, by the guide, a candidate counts as a false negative: that of the positive less `margin`
   * (`absolute`), or less `margin` times itself (`relative`).
   * @default 'absolute'
   */
  readonly marginStrategy?: 'absolute' | 'relative' | undefined;
  /** At least 0. @default 0 */
  readonly margin?: number | undefined;
  /** Whether other anchors are negatives. @default true */
  readonly contrastAnchors?: boolean | undefined;
  /** Whether a positive's similarities to other positives are negatives. @default true */
  readonly contrastPositives?: boolean | undefined;
}

/**
 * In-batch negatives, without those that another model, the guide, finds nearer to the anchor than the positive
 * (GISTEmbed: Solatorio, 2024). Columns: anchor, positive, perhaps a hard negative. A label has the guide's vectors of
 * an example's texts, one after the other; compute them once before the training.
 * @throws SentvecError `invalid-argument`
 */
export function gistEmbedLoss(options: GistEmbedOptions = {}): Loss {
  const names = { temperature: true, marginStrategy: true, margin: true, contrastAnchors: true } as const;
  checkOptionNames('gistEmbedLoss()', options, { ...names, contrastPositives: true });
  const { temperature = 0.01, marginStrategy = 'absolute', margin = 0 } = options;
  const { contrastAnchors = true, contrastPositives = true } = options;
  checkedParameter('GISTEmbedLoss', 'temperature', temperature, 'positive');
  checkedParameter('GISTEmbedLoss', 'margin', margin);
  checkedChoice('GISTEmbedLoss', 'margin_strategy', marginStrategy, ['absolute', 'relative']);
  return {
    name: 'GISTEmbedLoss',
    columns: { least: 2, most: 3 },
    labels: 'guide',
    smallestBatch: 2,
    parameters: {
      temperature,
      margin_strategy: marginStrategy,
      margin,
      contrast_anchors: contrastAnchors,
      contrast_positives: contrastPositives,
    },
    compute(ops, columns, labels) {
      const guide = columnsOf(ops, labelsOf(labels), columns.length);
      const [anchor, positive] = pairOf(columns);
      const [guideAnchor, guidePositive] = pairOf(guide);
      const rows = ops.shape(anchor)[0]!;
      const right = ops.reshape(pairwiseCosine(ops, guideAnchor, guidePositive), [rows, 1]);
      const limit =
        marginStrategy === 'absolute'
          ? ops.subtract(right, margin)
          : ops.subtract(right, ops.multiply(ops.maximum(right, ops.multiply(right, -1)), margin));
      const scores = (a: typeof anchor, b: typeof anchor, guideA: typeof anchor, guideB: typeof anchor) => ({
        all: similarityMatrix(ops, a, b, 'cosine'),
        isFalse: ops.greater(similarityMatrix(ops, guideA, guideB, 'cosine'), limit),
      });
      const pairs = scores(anchor, positive, guideAnchor, guidePositive);
      const isOther = ops.subtract(1, identity(ops, rows));
      const parts = [
        { all: pairs.all, isFalse: ops.multiply(pairs.isFalse, isOther) },
        ...(contrastAnchors ? [scores(anchor, anchor, guideAnchor, guideAnchor)] : []),
        ...(contrastPositives ? [scores(positive, positive, guidePositive, guidePositive)] : []),
        ...columns.slice(2).map((negative, index) => scores(anchor, negative, guideAnchor, guide[index + 2]!)),
      ];
      const logits = ops.concat(
        parts.map(({ all, isFalse }) => ops.where(isFalse, never, ops.divide(all, temperature))),
        1,
      );
      const wanted = ops.divide(pairwiseCosine(ops, anchor, positive), temperature);
      return meanOf(ops, ops.subtract(ops.logSumExp(logits, [1]), wanted));
    },
  };
}

/** `[rows, columns × width]` as a list of `[rows, width]`. */
function columnsOf<Tensor>(ops: Operations<Tensor>, labels: Tensor, columns: number): Tensor[] {
  const width = Number(ops.shape(labels)[1]) / columns;
  return Array.from({ length: columns }, (_, index) => ops.slice(labels, 1, index * width, width));
}

/** Options of {@link globalOrthogonalRegularizationLoss}. */
export interface GlobalOrthogonalRegularizationOptions {
  /** @default 'cosine' */
  readonly similarity?: 'cosine' | 'dot' | undefined;
  /** At least 0; 0 leaves the term out. @default 1 */
  readonly meanWeight?: number | undefined;
  /** At least 0; 0 leaves the term out. @default 1 */
  readonly secondMomentWeight?: number | undefined;
  /** How the terms of several columns become one. @default 'mean' */
  readonly aggregation?: 'mean' | 'sum' | undefined;
}

/**
 * Pushes vectors of different texts towards random directions: the square of their mean similarity, plus the excess of
 * the mean squared similarity over 1 / dimension (Zhang et al., 2017). A regularizer: use it with a loss that trains
 * similarity.
 * @throws SentvecError `invalid-argument`
 */
export function globalOrthogonalRegularizationLoss(options: GlobalOrthogonalRegularizationOptions = {}): Loss {
  const names = { similarity: true, meanWeight: true, secondMomentWeight: true, aggregation: true } as const;
  checkOptionNames('globalOrthogonalRegularizationLoss()', options, names);
  const { similarity = 'cosine', meanWeight = 1, secondMomentWeight = 1, aggregation = 'mean' } = options;
  const name = 'GlobalOrthogonalRegularizationLoss';
  checkedChoice(name, 'similarity', similarity, matrixSimilarities);
  checkedChoice(name, 'aggregation', aggregation, ['mean', 'sum']);
  checkedParameter(name, 'mean_weight', meanWeight);
  checkedParameter(name, 'second_moment_weight', secondMomentWeight);
  if (meanWeight + secondMomentWeight === 0)
    throw parameterError(name, 'second_moment_weight', 'above 0 when "mean_weight" is 0', 0);
  return {
    name,
    columns: { least: 1, most: Infinity },
    labels: 'none',
    smallestBatch: 2,
    parameters: { similarity, mean_weight: meanWeight, second_moment_weight: secondMomentWeight, aggregation },
    compute(ops, columns) {
      const terms = columns.map((column) => {
        const [rows, dimension] = ops.shape(column) as [number | string, number | string];
        const count = ops.toFloat(ops.size(rows));
        const others = ops.subtract(1, identity(ops, rows));
        const similarities = ops.multiply(similarityMatrix(ops, column, column, similarity), others);
        const average = (x: typeof column) =>
          ops.divide(ops.sum(x, [0, 1]), ops.multiply(count, ops.subtract(count, 1)));
        const first = average(similarities);
        const second = average(ops.multiply(similarities, similarities));
        const excess = ops.relu(ops.subtract(second, ops.divide(1, ops.toFloat(ops.size(dimension)))));
        return ops.add(ops.multiply(ops.multiply(first, first), meanWeight), ops.multiply(excess, secondMomentWeight));
      });
      const sum = terms.reduce((total, term) => ops.add(total, term));
      return aggregation === 'sum' ? sum : ops.divide(sum, terms.length);
    },
  };
}

function parameterError(loss: string, name: string, expected: string, value: number): SentvecError {
  return new SentvecError('invalid-argument', `${loss}: "${name}" must be ${expected}, not ${value}.`);
}
