/**
 * Losses of rerankers over lists: a query with several documents, each with a number for how well it answers. Lists of
 * a batch may have different lengths. Those of `sentence_transformers.cross_encoder.losses`, which sort; here the rank
 * of a document is counted from comparisons instead, which needs only the operations of the other losses.
 */
import { absolute, logSoftmax, softplus, type Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, labelsOf, type Loss } from '../loss.ts';
import { meanOf } from './distance.ts';
import { activated, type ScoreActivation, type ScoreOptionsOfLoss } from './pair-scores.ts';

/** The label of an absent document: all lists of a batch are padded to one width. */
export const absentDocument: number = -Infinity;

/** The documents of each query: matrices `[lists, documents]`. */
interface Lists<Tensor> {
  readonly scores: Tensor;
  /** 0 where there is no document. */
  readonly labels: Tensor;
  /** 1 where there is a document, else 0. */
  readonly present: Tensor;
}

/** In place of the score of a document that is not there. */
const never = -1e30;

function listwise(
  name: string,
  activation: ScoreActivation,
  parameters: Readonly<Record<string, unknown>>,
  cost: <Tensor>(ops: Operations<Tensor>, lists: Lists<Tensor>) => Tensor,
): Loss {
  return {
    name,
    over: 'scores',
    columns: { least: 2, most: Infinity },
    labels: 'lists',
    parameters: { ...parameters, activation_fn: activation },
    compute(ops, columns, given) {
      const all = labelsOf(given);
      const present = ops.greater(all, never);
      const scores = ops.where(present, activated(ops, ops.concat(columns, 1), activation), never);
      return cost(ops, { scores, labels: ops.where(present, all, 0), present });
    },
  };
}

/**
 * Cross entropy between the distribution over a list by the labels and that by the scores (ListNet: Cao et al., 2007).
 */
export function listNetLoss(options: ScoreOptionsOfLoss = {}): Loss {
  checkOptionNames('listNetLoss()', options, { activation: true });
  return listwise('ListNetLoss', options.activation ?? 'Identity', {}, (ops, { scores, labels, present }) => {
    const wanted = ops.softmax(ops.where(present, labels, never));
    return meanOf(ops, ops.multiply(ops.sum(ops.multiply(wanted, logSoftmax(ops, scores)), [1]), -1));
  });
}

/** Options of {@link listMleLoss} and {@link positionListMleLoss}. */
export interface ListMleOptions extends ScoreOptionsOfLoss {
  /**
   * Whether documents are in their right order in the data, best first, whatever their labels. sentence-transformers
   * takes that for granted; otherwise the labels say the order, equal ones as in the data.
   * @default false
   */
  readonly respectInputOrder?: boolean | undefined;
}

/** How likely the right order is when documents are drawn one after the other by their scores (Xia et al., 2008). */
export function listMleLoss(options: ListMleOptions = {}): Loss {
  return listMle('ListMLELoss', options, false);
}

/**
 * {@link listMleLoss} where the first ranks weigh more: the weight of a rank is 2 to the power of the documents that
 * are left, less 1, as a share of the sum (Lan et al., 2014).
 */
export function positionListMleLoss(options: ListMleOptions = {}): Loss {
  return listMle('PListMLELoss', options, true);
}

function listMle(name: string, options: ListMleOptions, isWeighted: boolean): Loss {
  checkOptionNames(`${name} options`, options, { activation: true, respectInputOrder: true });
  const { activation = 'Identity', respectInputOrder = false } = options;
  const parameters = { respect_input_order: respectInputOrder };
  return listwise(name, activation, parameters, (ops, { scores, labels, present }) => {
    const key = ops.where(present, respectInputOrder ? ops.multiply(labels, 0) : labels, never);
    const ranks = ranksOf(ops, key);
    const [own, other] = pairs(ops, ranks);
    const isLeft = ops.subtract(1, ops.greater(own, other));
    const left = ops.logSumExp(ops.where(isLeft, pairs(ops, scores)[1], never), [2]);
    const likelihoods = ops.where(present, ops.subtract(scores, left), 0);
    if (!isWeighted) return meanOf(ops, ops.multiply(ops.sum(likelihoods, [1]), -1));
    const count = ops.sum(present, [1], true);
    const power = ops.exp(ops.multiply(ops.subtract(ops.add(count, 1), ranks), Math.LN2));
    const weights = ops.multiply(ops.subtract(power, 1), present);
    const shares = ops.divide(weights, ops.add(ops.sum(weights, [1], true), 1e-10));
    return meanOf(ops, ops.multiply(ops.sum(ops.multiply(likelihoods, shares), [1]), -1));
  });
}

/** How {@link lambdaLoss} weighs a pair of documents, by the names of sentence-transformers. */
export const weightingSchemes = [
  'NoWeightingScheme',
  'NDCGLoss1Scheme',
  'NDCGLoss2Scheme',
  'LambdaRankScheme',
  'NDCGLoss2PPScheme',
] as const;

/** Options of {@link rankNetLoss}. */
export interface RankNetOptions extends ScoreOptionsOfLoss {
  /** Only this many documents count, the best by score. @default all */
  readonly k?: number | undefined;
  /** Multiplies the differences of scores. Above 0. @default 1 */
  readonly sigma?: number | undefined;
  /** Base of the logarithm. @default 'binary' */
  readonly logarithm?: 'binary' | 'natural' | undefined;
}

/** Options of {@link lambdaLoss}. */
export interface LambdaOptions extends RankNetOptions {
  /** @default 'NDCGLoss2PPScheme' */
  readonly weighting?: (typeof weightingSchemes)[number] | undefined;
}

/**
 * For each two documents of a list of which one is better, how likely the scores put it first, weighed by what that is
 * worth in NDCG (LambdaLoss: Wang et al., 2018).
 * @throws SentvecError `invalid-argument`
 */
export function lambdaLoss(options: LambdaOptions = {}): Loss {
  const { weighting = 'NDCGLoss2PPScheme', ...others } = options;
  return pairwise('LambdaLoss', weighting, others, { weighting_scheme: weighting });
}

/**
 * {@link lambdaLoss} in which all pairs weigh the same (Burges et al., 2005). @throws SentvecError `invalid-argument`
 */
export function rankNetLoss(options: RankNetOptions = {}): Loss {
  return pairwise('RankNetLoss', 'NoWeightingScheme', options, {});
}

/** The smallest probability: smaller ones count as this. */
const smallest = 1e-10;

function pairwise(
  name: string,
  weighting: NonNullable<LambdaOptions['weighting']>,
  options: RankNetOptions,
  parameters: Readonly<Record<string, unknown>>,
): Loss {
  checkOptionNames(`${name} options`, options, { activation: true, k: true, sigma: true, logarithm: true });
  const { activation = 'Identity', k, sigma = 1, logarithm = 'binary' } = options;
  checkedParameter(name, 'sigma', sigma, 'positive');
  if (k !== undefined) checkedParameter(name, 'k', k, 'positive');
  const described = { ...parameters, k: k ?? null, sigma, reduction_log: logarithm };
  return listwise(name, activation, described, (ops, lists) => {
    const { scores, labels, present } = lists;
    const ranks = ranksOf(ops, scores);
    const [better, worse] = pairs(ops, labels);
    const isThere = k === undefined ? present : ops.multiply(present, ops.greater(k + 0.5, ranks));
    const [first, second] = pairs(ops, isThere);
    const both = ops.multiply(first, second);
    const counted = weighting === 'NDCGLoss1Scheme' ? both : ops.multiply(both, ops.greater(better, worse));
    const [a, b] = pairs(ops, ops.where(present, scores, 0));
    const likelihood = ops.multiply(softplus(ops, ops.multiply(ops.subtract(a, b), -sigma)), -1);
    const bounded = ops.maximum(likelihood, Math.log(smallest));
    const weights = weightsOf(ops, weighting, { ...lists, ranks }, k);
    const costs = ops.maximum(weights === undefined ? bounded : ops.multiply(bounded, weights), Math.log(smallest));
    const total = ops.sum(ops.multiply(costs, counted), [0, 1, 2]);
    const base = logarithm === 'binary' ? Math.LN2 : 1;
    return ops.divide(total, ops.multiply(ops.maximum(ops.sum(counted, [0, 1, 2]), 1), -base));
  });
}

/** The weight of each pair of documents, `[lists, documents, documents]` or with 1 as last size. */
function weightsOf<Tensor>(
  ops: Operations<Tensor>,
  weighting: NonNullable<LambdaOptions['weighting']>,
  { labels, present, ranks }: Lists<Tensor> & { readonly ranks: Tensor },
  k: number | undefined,
): Tensor | undefined {
  if (weighting === 'NoWeightingScheme') return undefined;
  const worth = ops.multiply(ops.subtract(ops.exp(ops.multiply(ops.relu(labels), Math.LN2)), 1), present);
  const best = ranksOf(ops, ops.where(present, labels, never));
  const gains = ops.divide(worth, discount(ops, best));
  const counted = k === undefined ? gains : ops.multiply(gains, ops.greater(k + 0.5, best));
  const gain = ops.divide(worth, ops.maximum(ops.sum(counted, [1], true), smallest));
  if (weighting === 'NDCGLoss1Scheme') return pairs(ops, ops.divide(gain, discount(ops, ranks)))[0];
  const [own, other] = pairs(ops, gain);
  const difference = absolute(ops, ops.subtract(own, other));
  const [ownRank, otherRank] = pairs(ops, ranks);
  const inverse = (x: Tensor): Tensor => ops.divide(1, discount(ops, x));
  const lambdaRank = absolute(ops, ops.subtract(inverse(ownRank), inverse(otherRank)));
  const apart = absolute(ops, ops.subtract(ownRank, otherRank));
  const near = ops.maximum(apart, 1);
  const step = ops.where(apart, ops.subtract(inverse(near), inverse(ops.add(near, 1))), 0);
  const ofRanks =
    weighting === 'LambdaRankScheme'
      ? lambdaRank
      : weighting === 'NDCGLoss2Scheme'
        ? step
        : ops.add(ops.multiply(step, 10), lambdaRank);
  return ops.multiply(ofRanks, difference);
}

/** log2(1 + rank): what the gain at a rank is divided by. */
function discount<Tensor>(ops: Operations<Tensor>, ranks: Tensor): Tensor {
  return ops.divide(ops.log(ops.add(ranks, 1)), Math.LN2);
}

/** Options of {@link approximateRankMseLoss}. */
export interface ApproximateRankOptions extends ScoreOptionsOfLoss {
  /** How steeply a difference of scores decides which document comes first. Above 0. @default 1 */
  readonly alpha?: number | undefined;
}

/**
 * Squared difference between a document's rank by its label and its rank by the scores, approximated by sigmoids, over
 * log2 of the rank by its label (ADR-MSE: Schlatt et al., 2025). Documents with equal labels share their mean rank.
 * @throws SentvecError `invalid-argument`
 */
export function approximateRankMseLoss(options: ApproximateRankOptions = {}): Loss {
  checkOptionNames('approximateRankMseLoss()', options, { activation: true, alpha: true });
  const { activation = 'Identity', alpha = 1 } = options;
  checkedParameter('ADRMSELoss', 'alpha', alpha, 'positive');
  return listwise('ADRMSELoss', activation, { alpha }, (ops, { scores, labels, present }) => {
    const other = pairs(ops, present)[1];
    const count = (x: typeof scores): typeof scores => ops.sum(ops.multiply(x, other), [2]);
    const [own, others] = pairs(ops, labels);
    const equals = count(ops.equal(others, own));
    const right = ops.add(count(ops.greater(others, own)), ops.divide(ops.add(equals, 1), 2));
    const [score, otherScore] = pairs(ops, ops.where(present, scores, 0));
    const ahead = count(ops.sigmoid(ops.multiply(ops.subtract(otherScore, score), alpha)));
    const error = ops.subtract(right, ops.add(ahead, 0.5));
    const costs = ops.where(present, ops.divide(ops.multiply(error, error), discount(ops, right)), 0);
    return ops.divide(ops.sum(costs, [0, 1]), ops.sum(present, [0, 1]));
  });
}

/** The rank of each entry in its row, from 1 for the largest; of equal entries the earlier one comes first. */
function ranksOf<Tensor>(ops: Operations<Tensor>, rows: Tensor): Tensor {
  const count = ops.shape(rows)[1]!;
  const [own, other] = pairs(ops, rows);
  const numbers = ops.toFloat(ops.range(count));
  const isEarlier = ops.greater(ops.reshape(numbers, [1, count, 1]), ops.reshape(numbers, [1, 1, count]));
  const isBefore = ops.add(ops.greater(other, own), ops.multiply(ops.equal(other, own), isEarlier));
  return ops.add(ops.sum(isBefore, [2]), 1);
}

/** Rows as columns and as rows of matrices, which broadcast to each entry beside each other. */
function pairs<Tensor>(ops: Operations<Tensor>, rows: Tensor): [own: Tensor, other: Tensor] {
  const [lists, count] = ops.shape(rows);
  return [ops.reshape(rows, [lists!, count!, 1]), ops.reshape(rows, [lists!, 1, count!])];
}
