/**
 * Losses of late interaction: over the vectors of the tokens of queries and documents, which are compared by MaxSim
 * (Khattab and Zaharia, 2020). Those of sentence-transformers over this score.
 */
import { productOf, type Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, labelsOf, type LossDescription } from '../loss.ts';
import { meanOf } from './distance.ts';
import { divergenceFrom, marginError } from './distillation.ts';

/** The token vectors of a column: queries, or one document of each example. */
export interface TokenColumn<Tensor> {
  /** `[examples, tokens, dimension]`, of length 1 each. */
  readonly vectors: Tensor;
  /** 1 for a token that counts, else 0: floats `[examples, tokens]`. */
  readonly mask: Tensor;
}

/** A loss over token vectors, in the manner of {@link Loss}. The first column holds the queries. */
export interface MultiVectorLoss extends LossDescription {
  /** Tells it from losses over one vector for each text. */
  readonly over: 'tokens';
  /**
   * @param columns the queries, then documents
   * @param labels as of {@link Loss.compute}
   * @returns a single number, shape `[]`
   */
  compute<Tensor>(ops: Operations<Tensor>, columns: readonly TokenColumn<Tensor>[], labels: Tensor | undefined): Tensor;
}

/**
 * In-batch negatives over MaxSim: cross entropy of finding a query's document among the documents of all columns and
 * examples. Columns: query, document, then any number of hard negatives.
 * @param options.scale multiplies scores, which grow with the length of queries; default 1
 * @throws SentvecError `invalid-argument`
 */
export function multiVectorMultipleNegativesRankingLoss(
  options: { readonly scale?: number | undefined } = {},
): MultiVectorLoss {
  checkOptionNames('multiVectorMultipleNegativesRankingLoss()', options, { scale: true });
  const { scale = 1 } = options;
  checkedParameter('MultiVectorMultipleNegativesRankingLoss', 'scale', scale, 'positive');
  return {
    over: 'tokens',
    name: 'MultiVectorMultipleNegativesRankingLoss',
    columns: { least: 2, most: Infinity },
    labels: 'none',
    smallestBatch: 2,
    parameters: { scale },
    compute(ops, columns) {
      const [queries, ...documents] = columnsOf(columns);
      const scores = ops.concat(
        documents.map((document) => ops.multiply(maxSimilarities(ops, queries, document), scale)),
        1,
      );
      const right = ops.multiply(maxSimilarityOfPairs(ops, queries, documents[0]!), scale);
      return meanOf(ops, ops.subtract(ops.logSumExp(scores, [1]), right));
    },
  };
}

/**
 * Kullback-Leibler divergence of the distribution of MaxSim over the documents of a query from that of a teacher's scores,
 * times the square of the temperature (Santhanam et al., 2022). Columns: query, at least two documents. A label has a
 * score for each document.
 * @param options.temperature divides the scores of student and teacher; default 1
 * @throws SentvecError `invalid-argument`
 */
export function multiVectorDistillKlDivLoss(
  options: { readonly temperature?: number | undefined } = {},
): MultiVectorLoss {
  checkOptionNames('multiVectorDistillKlDivLoss()', options, { temperature: true });
  const { temperature = 1 } = options;
  checkedParameter('MultiVectorDistillKLDivLoss', 'temperature', temperature, 'positive');
  return {
    over: 'tokens',
    name: 'MultiVectorDistillKLDivLoss',
    columns: { least: 3, most: Infinity },
    labels: 'scores',
    parameters: { temperature },
    compute: (ops, columns, labels) => divergenceFrom(ops, scoresOf(ops, columns), labelsOf(labels), temperature),
  };
}

/**
 * Mean squared difference between the margins of MaxSim, document to negative, and a teacher's. Columns: query, document,
 * then any number of negatives. A label has a margin for each negative, or the teacher's scores of all documents.
 */
export function multiVectorMarginMseLoss(): MultiVectorLoss {
  return {
    over: 'tokens',
    name: 'MultiVectorMarginMSELoss',
    columns: { least: 3, most: Infinity },
    labels: 'margin',
    compute: (ops, columns, labels) => marginError(ops, scoresOf(ops, columns), labelsOf(labels), columns.length - 2),
  };
}

/** The score of each query with each of its own documents: `[examples, documents]`. */
function scoresOf<Tensor>(ops: Operations<Tensor>, columns: readonly TokenColumn<Tensor>[]): Tensor {
  const [queries, ...documents] = columnsOf(columns);
  return ops.concat(
    documents.map((document) => {
      const score = maxSimilarityOfPairs(ops, queries, document);
      return ops.reshape(score, [ops.shape(score)[0]!, 1]);
    }),
    1,
  );
}

function columnsOf<Tensor>(
  columns: readonly TokenColumn<Tensor>[],
): [queries: TokenColumn<Tensor>, ...documents: TokenColumn<Tensor>[]] {
  const [queries, ...documents] = columns;
  if (queries === undefined || documents.length === 0)
    throw new Error(`A loss over queries and documents was given ${columns.length} columns.`);
  return [queries, ...documents];
}

/** The score of each query with the document of the same example: `[examples]`. */
function maxSimilarityOfPairs<Tensor>(
  ops: Operations<Tensor>,
  queries: TokenColumn<Tensor>,
  documents: TokenColumn<Tensor>,
): Tensor {
  const [examples] = ops.shape(queries.vectors);
  const products = ops.matmul(queries.vectors, documents.vectors, { transposeRight: true });
  const tokens = ops.shape(documents.mask)[1]!;
  return sumOfLargest(ops, products, queries.mask, ops.reshape(documents.mask, [examples!, 1, tokens]), 2);
}

/** The score of each query with each document: `[queries, documents]`. */
function maxSimilarities<Tensor>(
  ops: Operations<Tensor>,
  queries: TokenColumn<Tensor>,
  documents: TokenColumn<Tensor>,
): Tensor {
  const [asked, queryTokens, dimension] = ops.shape(queries.vectors);
  const [found, documentTokens] = ops.shape(documents.vectors);
  const products = ops.matmul(
    ops.reshape(queries.vectors, [productOf([asked!, queryTokens!]), dimension!]),
    ops.reshape(documents.vectors, [productOf([found!, documentTokens!]), dimension!]),
    { transposeRight: true },
  );
  // One row for each token of a query, and in it the documents with their tokens.
  const byDocument = ops.reshape(products, [asked!, queryTokens!, found!, documentTokens!]);
  const mask = ops.reshape(documents.mask, [1, 1, found!, documentTokens!]);
  return sumOfLargest(ops, byDocument, ops.reshape(queries.mask, [asked!, queryTokens!, 1]), mask, 3);
}

/** The largest product with a token that counts, summed over the tokens of a query that count: axis 1. */
function sumOfLargest<Tensor>(
  ops: Operations<Tensor>,
  products: Tensor,
  queryMask: Tensor,
  documentMask: Tensor,
  axis: number,
): Tensor {
  const masked = ops.where(documentMask, products, never);
  return ops.sum(ops.multiply(ops.max(masked, [axis]), queryMask), [1]);
}

/** In place of the products of tokens that do not count. */
const never = -1e9;
