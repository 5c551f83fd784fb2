// SpladeLoss of sparse encoders: another loss over term weights, plus a regularizer that makes them sparse.
import { mean, type Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, firstOf, type Loss } from '../loss.ts';

/** Options of {@link spladeLoss}. */
export interface SpladeOptions {
  /** Weight of the regularizer on documents: all columns except the first. At least 0. */
  readonly documentWeight: number;
  /** Weight of the regularizer on queries, the first column. At least 0. @default 0 */
  readonly queryWeight?: number | undefined;
  /** Whether the first column has documents too, so that `documentWeight` applies to all columns. @default false */
  readonly documentsOnly?: boolean | undefined;
}

/**
 * Another loss plus the FLOPS regularizer: the sum over all terms of the squared mean weight in the batch. It estimates
 * the cost of a search in an inverted index (Paria et al., 2020; SPLADE: Formal et al., 2022).
 * @param loss usually {@link multipleNegativesRankingLoss} or {@link marginMseLoss} with dot products
 * @throws SentvecError `invalid-argument`
 */
export function spladeLoss(loss: Loss, options: SpladeOptions): Loss {
  checkOptionNames('spladeLoss()', options, { documentWeight: true, queryWeight: true, documentsOnly: true });
  const { documentWeight, queryWeight = 0, documentsOnly = false } = options;
  checkedParameter('SpladeLoss', 'document_regularizer_weight', documentWeight);
  checkedParameter('SpladeLoss', 'query_regularizer_weight', queryWeight);
  if (documentsOnly && queryWeight > 0)
    throw new SentvecError(
      'invalid-argument',
      'SpladeLoss: "query_regularizer_weight" has no effect with "use_document_regularizer_only". Remove one of them.',
    );
  if (loss.columns.most < 2 && !documentsOnly)
    throw new SentvecError(
      'invalid-argument',
      `SpladeLoss: ${loss.name} has one column only, so there are no documents. Set "use_document_regularizer_only" or use another loss.`,
    );
  return {
    ...loss,
    name: 'SpladeLoss',
    parameters: {
      loss: loss.name,
      loss_params: loss.parameters ?? {},
      document_regularizer_weight: documentWeight,
      query_regularizer_weight: queryWeight,
      use_document_regularizer_only: documentsOnly,
    },
    compute(ops, columns, labels) {
      const documents = documentsOnly ? columns : columns.slice(1);
      const terms = [
        loss.compute(ops, columns, labels),
        ops.multiply(flops(ops, ops.concat(documents, 0)), documentWeight),
        ...(queryWeight > 0 ? [ops.multiply(flops(ops, firstOf(columns)), queryWeight)] : []),
      ];
      return terms.reduce((sum, term) => ops.add(sum, term));
    },
  };
}

function flops<Tensor>(ops: Operations<Tensor>, weights: Tensor): Tensor {
  const average = mean(ops, weights, [0]);
  return ops.sum(ops.multiply(average, average), [0]);
}
