/**
 * Losses of late interaction: they compare the token vectors of queries and documents by MaxSim (Khattab and Zaharia,
 * 2020). They follow the losses of sentence-transformers for multi-vector encoders.
 */
import { productOf, type Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, labelsOf, type LossDescription } from '../loss.ts';
import { meanOf } from './distance.ts';
import { divergenceFrom, marginError } from './distillation.ts';

/** The token vectors of a column: queries, or one document of each example. */
export interface TokenColumn<Tensor> {
  /** `[examples, tokens, dimension]`; each token vector is normalized. */
  readonly vectors: Tensor;
  /** `[examples, tokens]`: 1 for a token that takes part in MaxSim, 0 for padding and masked tokens. */
  readonly mask: Tensor;
}

/** Like {@link Loss}, but over token vectors. The first column has the queries. */
export interface MultiVectorLoss extends LossDescription {
  /** Distinguishes it from losses over one vector per text. */
  readonly over: 'tokens';
  /**
   * @param columns the queries, then documents
   * @param labels see {@link Loss.compute}
   * @returns a single number, shape `[]`
   */
  compute<Tensor>(ops: Operations<Tensor>, columns: readonly TokenColumn<Tensor>[], labels: Tensor | undefined): Tensor;
}

/**
 * In-batch negatives over MaxSim: for each query, the cross entropy of its own document among the documents of all
 * columns and examples. Columns: query, document, then any number of hard negatives.
 * @param options.scale multiplies scores. Scores grow with the number of query tokens, so it is smaller than for
 * cosines; default 1
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
 * Kullback-Leibler divergence of the MaxSim distribution over the documents of a query from a teacher's distribution,
 * times temperature² (Santhanam et al., 2022). Columns: query, at least two documents. A label is the teacher's score
 * of each document.
 * @param options.temperature the scores of student and teacher are divided by it; default 1
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
 * Mean squared error of MaxSim margins against a teacher's. A margin is MaxSim(query, document) - MaxSim(query,
 * negative). Columns: query, document, then any number of negatives. A label is the teacher's margin for each negative,
 * or its scores of all documents.
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
    throw new Error(
      `This loss needs a column of queries and one of documents, but the batch has ${columns.length} columns.`,
    );
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
  const [queryCount, queryTokens, dimension] = ops.shape(queries.vectors);
  const [documentCount, documentTokens] = ops.shape(documents.vectors);
  const products = ops.matmul(
    ops.reshape(queries.vectors, [productOf([queryCount!, queryTokens!]), dimension!]),
    ops.reshape(documents.vectors, [productOf([documentCount!, documentTokens!]), dimension!]),
    { transposeRight: true },
  );
  // [queries, query tokens, documents, document tokens]
  const byDocument = ops.reshape(products, [queryCount!, queryTokens!, documentCount!, documentTokens!]);
  const mask = ops.reshape(documents.mask, [1, 1, documentCount!, documentTokens!]);
  return sumOfLargest(ops, byDocument, ops.reshape(queries.mask, [queryCount!, queryTokens!, 1]), mask, 3);
}

/** MaxSim: the maximum over unmasked document tokens (`axis`), summed over unmasked query tokens (axis 1). */
function sumOfLargest<Tensor>(
  ops: Operations<Tensor>,
  products: Tensor,
  queryMask: Tensor,
  documentMask: Tensor,
  axis: number,
): Tensor {
  const masked = ops.where(documentMask, products, maskedProduct);
  return ops.sum(ops.multiply(ops.max(masked, [axis]), queryMask), [1]);
}

/** Product of a masked token: below all others. */
const maskedProduct = -1e9;
