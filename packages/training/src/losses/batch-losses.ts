// Losses over a whole batch: hardest in-batch negatives (MegaBatchMargin), negatives filtered by a guide model
// (GISTEmbed), and global orthogonal regularization.
import type { Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, labelsOf, pairOf, type Loss } from '../loss.ts';
import { identity, matrixSimilarities, meanOf, pairwiseCosine, similarityMatrix } from './distance.ts';

/** Options of {@link megaBatchMarginLoss}. */
export interface MegaBatchMarginOptions {
  /** The loss is 0 for a pair whose cosine is at least this. -1 to 1. @default 0.8 */
  readonly positiveMargin?: number | undefined;
  /** The loss is 0 for an anchor whose cosine with the hardest negative is at most this. -1 to 1. @default 0.3 */
  readonly negativeMargin?: number | undefined;
}

/**
 * The mean of relu(positiveMargin - cos(anchor, positive)) + relu(cos(anchor, hardest negative) - negativeMargin),
 * where the hardest negative is the nearest other positive of the batch (Wieting and Gimpel, 2018). It works best with
 * large batches; the option `cachedExamples` makes them fit into memory.
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
      const nearest = ops.max(ops.where(identity(ops, ops.shape(all)[0]!), maskedScore, all), [1]);
      const lacking = ops.relu(ops.subtract(positiveMargin, pairwiseCosine(ops, anchor, positive)));
      return meanOf(ops, ops.add(lacking, ops.relu(ops.subtract(nearest, negativeMargin))));
    },
  };
}

/** Score of a masked pair: below any cosine, and its exponential is 0. */
const maskedScore = -1e30;

/** Options of {@link gistEmbedLoss}. */
export interface GistEmbedOptions {
  /** Similarities are divided by it. Above 0. @default 0.01 */
  readonly temperature?: number | undefined;
  /**
   * A candidate is a false negative if its guide similarity is above a limit: that of the positive minus `margin`
   * (`absolute`), or minus `margin` times that of the positive (`relative`).
   * @default 'absolute'
   */
  readonly marginStrategy?: 'absolute' | 'relative' | undefined;
  /** See `marginStrategy`. At least 0. @default 0 */
  readonly margin?: number | undefined;
  /** Whether other anchors of the batch are negatives too. @default true */
  readonly contrastAnchors?: boolean | undefined;
  /** Whether similarities between positives are negative terms too. @default true */
  readonly contrastPositives?: boolean | undefined;
}

/**
 * In-batch negatives, without those that a guide model finds nearer to the anchor than the positive (GISTEmbed:
 * Solatorio, 2024). Columns: anchor, positive, and optionally a hard negative. The label of an example is the guide's
 * vectors of its texts, concatenated; compute them once before training.
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
        parts.map(({ all, isFalse }) => ops.where(isFalse, maskedScore, ops.divide(all, temperature))),
        1,
      );
      const wanted = ops.divide(pairwiseCosine(ops, anchor, positive), temperature);
      return meanOf(ops, ops.subtract(ops.logSumExp(logits, [1]), wanted));
    },
  };
}

/** Splits `[rows, columns × width]` into a list of `[rows, width]`. */
function columnsOf<Tensor>(ops: Operations<Tensor>, labels: Tensor, columns: number): Tensor[] {
  const width = Number(ops.shape(labels)[1]) / columns;
  return Array.from({ length: columns }, (_, index) => ops.slice(labels, 1, index * width, width));
}

/** Options of {@link globalOrthogonalRegularizationLoss}. */
export interface GlobalOrthogonalRegularizationOptions {
  /** @default 'cosine' */
  readonly similarity?: 'cosine' | 'dot' | undefined;
  /** Weight of the term, at least 0. 0 omits the term. @default 1 */
  readonly meanWeight?: number | undefined;
  /** Weight of the term, at least 0. 0 omits the term. @default 1 */
  readonly secondMomentWeight?: number | undefined;
  /** How the terms of several columns are combined. @default 'mean' */
  readonly aggregation?: 'mean' | 'sum' | undefined;
}

/**
 * Spreads the vectors of different texts over the sphere, as random directions would be: the squared mean similarity of
 * all pairs, plus the excess of the mean squared similarity over 1 / dimension (Zhang et al., 2017). This is a
 * regularizer: use it together with a loss that trains similarity.
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
