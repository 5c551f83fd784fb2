/**
 * Listwise losses of rerankers, over a query and several documents with relevance labels. Lists of a batch may have
 * different lengths. They compute the same as the losses of `sentence_transformers.cross_encoder.losses`. Those sort
 * the documents; these count ranks by pairwise comparisons, because the tensor operations have no sort.
 */
import { absolute, logSoftmax, softplus, type Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, labelsOf, type Loss } from '../loss.ts';
import { meanOf } from './distance.ts';
import { activated, type ScoreActivation, type ScoreOptionsOfLoss } from './pair-scores.ts';

/** The label of a padding document: all lists of a batch are padded to one length. */
export const absentDocument: number = -Infinity;

/** The documents of each query. All matrices are `[lists, documents]`. */
interface Lists<Tensor> {
  readonly scores: Tensor;
  /** 0 where there is no document. */
  readonly labels: Tensor;
  /** 1 where there is a document, else 0. */
  readonly present: Tensor;
}

/** Score of a padding document: its exponential is 0. */
const maskedScore = -1e30;

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
      const present = ops.greater(all, maskedScore);
      const scores = ops.where(present, activated(ops, ops.concat(columns, 1), activation), maskedScore);
      return cost(ops, { scores, labels: ops.where(present, all, 0), present });
    },
  };
}

/** Cross entropy of softmax(scores) against softmax(labels), over each list (ListNet: Cao et al., 2007). */
export function listNetLoss(options: ScoreOptionsOfLoss = {}): Loss {
  checkOptionNames('listNetLoss()', options, { activation: true });
  return listwise('ListNetLoss', options.activation ?? 'Identity', {}, (ops, { scores, labels, present }) => {
    const target = ops.softmax(ops.where(present, labels, maskedScore));
    return meanOf(ops, ops.multiply(ops.sum(ops.multiply(target, logSoftmax(ops, scores)), [1]), -1));
  });
}

/** Options of {@link listMleLoss} and {@link positionListMleLoss}. */
export interface ListMleOptions extends ScoreOptionsOfLoss {
  /**
   * `true`: the target order is the order of the documents in the data, best first; labels are ignored. `false`: the
   * target order is by label, descending; equal labels keep the order of the data. In sentence-transformers the default
   * is `true`.
   * @default false
   */
  readonly respectInputOrder?: boolean | undefined;
}

/**
 * ListMLE: the negative log-likelihood of the target order under the Plackett-Luce model of the scores (Xia et al.,
 * 2008).
 */
export function listMleLoss(options: ListMleOptions = {}): Loss {
  return listMle('ListMLELoss', options, false);
}

/**
 * {@link listMleLoss} with higher weights for the first ranks. The weight of a rank is 2^n - 1, where n is the number
 * of documents from this rank on, divided by the sum of all weights (Lan et al., 2014).
 */
export function positionListMleLoss(options: ListMleOptions = {}): Loss {
  return listMle('PListMLELoss', options, true);
}

function listMle(name: string, options: ListMleOptions, isWeighted: boolean): Loss {
  checkOptionNames(`${name} options`, options, { activation: true, respectInputOrder: true });
  const { activation = 'Identity', respectInputOrder = false } = options;
  const parameters = { respect_input_order: respectInputOrder };
  return listwise(name, activation, parameters, (ops, { scores, labels, present }) => {
    const key = ops.where(present, respectInputOrder ? ops.multiply(labels, 0) : labels, maskedScore);
    const ranks = ranksOf(ops, key);
    const [own, other] = pairs(ops, ranks);
    const isLeft = ops.subtract(1, ops.greater(own, other));
    const left = ops.logSumExp(ops.where(isLeft, pairs(ops, scores)[1], maskedScore), [2]);
    const likelihoods = ops.where(present, ops.subtract(scores, left), 0);
    if (!isWeighted) return meanOf(ops, ops.multiply(ops.sum(likelihoods, [1]), -1));
    const count = ops.sum(present, [1], true);
    const power = ops.exp(ops.multiply(ops.subtract(ops.add(count, 1), ranks), Math.LN2));
    const weights = ops.multiply(ops.subtract(power, 1), present);
    const shares = ops.divide(weights, ops.add(ops.sum(weights, [1], true), 1e-10));
    return meanOf(ops, ops.multiply(ops.sum(ops.multiply(likelihoods, shares), [1]), -1));
  });
}

/** The weighting schemes of {@link lambdaLoss}, named as in sentence-transformers. */
export const weightingSchemes = [
  'NoWeightingScheme',
  'NDCGLoss1Scheme',
  'NDCGLoss2Scheme',
  'LambdaRankScheme',
  'NDCGLoss2PPScheme',
] as const;

/** Options of {@link rankNetLoss}. */
export interface RankNetOptions extends ScoreOptionsOfLoss {
  /** Only the k documents with the highest scores count. @default all documents count */
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
 * LambdaLoss (Wang et al., 2018): for each pair of documents with different labels, the negative log-probability that
 * the scores rank the better one first, weighted by the NDCG difference of swapping them.
 * @throws SentvecError `invalid-argument`
 */
export function lambdaLoss(options: LambdaOptions = {}): Loss {
  const { weighting = 'NDCGLoss2PPScheme', ...others } = options;
  return pairwise('LambdaLoss', weighting, others, { weighting_scheme: weighting });
}

/**
 * {@link lambdaLoss} with equal weights for all pairs (Burges et al., 2005). @throws SentvecError `invalid-argument`
 */
export function rankNetLoss(options: RankNetOptions = {}): Loss {
  return pairwise('RankNetLoss', 'NoWeightingScheme', options, {});
}

/** Lower bound of probabilities, so that their logarithms are finite. */
const minimumProbability = 1e-10;

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
    const isInTopK = k === undefined ? present : ops.multiply(present, ops.greater(k + 0.5, ranks));
    const [first, second] = pairs(ops, isInTopK);
    const both = ops.multiply(first, second);
    const counted = weighting === 'NDCGLoss1Scheme' ? both : ops.multiply(both, ops.greater(better, worse));
    const [a, b] = pairs(ops, ops.where(present, scores, 0));
    const likelihood = ops.multiply(softplus(ops, ops.multiply(ops.subtract(a, b), -sigma)), -1);
    const bounded = ops.maximum(likelihood, Math.log(minimumProbability));
    const weights = weightsOf(ops, weighting, { ...lists, ranks }, k);
    const costs = ops.maximum(
      weights === undefined ? bounded : ops.multiply(bounded, weights),
      Math.log(minimumProbability),
    );
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
  const unscaledGain = ops.multiply(ops.subtract(ops.exp(ops.multiply(ops.relu(labels), Math.LN2)), 1), present);
  const best = ranksOf(ops, ops.where(present, labels, maskedScore));
  const gains = ops.divide(unscaledGain, discount(ops, best));
  const counted = k === undefined ? gains : ops.multiply(gains, ops.greater(k + 0.5, best));
  const gain = ops.divide(unscaledGain, ops.maximum(ops.sum(counted, [1], true), minimumProbability));
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

/** The discount of DCG at a rank: log2(1 + rank). */
function discount<Tensor>(ops: Operations<Tensor>, ranks: Tensor): Tensor {
  return ops.divide(ops.log(ops.add(ranks, 1)), Math.LN2);
}

/** Options of {@link approximateRankMseLoss}. */
export interface ApproximateRankOptions extends ScoreOptionsOfLoss {
  /** Steepness of the sigmoid of score differences that approximates ranks. Above 0. @default 1 */
  readonly alpha?: number | undefined;
}

/**
 * ADR-MSE (Schlatt et al., 2025): the squared difference between a document's rank by label and its rank by score,
 * divided by log2(1 + rank by label). The rank by score is approximated by a sum of sigmoids. Documents with equal
 * labels share their mean rank.
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

/** The rank of each entry in its row: 1 for the largest. Among equal entries, the earlier one has the lower rank. */
function ranksOf<Tensor>(ops: Operations<Tensor>, rows: Tensor): Tensor {
  const count = ops.shape(rows)[1]!;
  const [own, other] = pairs(ops, rows);
  const numbers = ops.toFloat(ops.range(count));
  const isEarlier = ops.greater(ops.reshape(numbers, [1, count, 1]), ops.reshape(numbers, [1, 1, count]));
  const isBefore = ops.add(ops.greater(other, own), ops.multiply(ops.equal(other, own), isEarlier));
  return ops.add(ops.sum(isBefore, [2]), 1);
}

/** Reshapes `[lists, n]` to `[lists, n, 1]` and `[lists, 1, n]`, which broadcast to all pairs of entries. */
function pairs<Tensor>(ops: Operations<Tensor>, rows: Tensor): [own: Tensor, other: Tensor] {
  const [lists, count] = ops.shape(rows);
  return [ops.reshape(rows, [lists!, count!, 1]), ops.reshape(rows, [lists!, 1, count!])];
}
