// Losses by which a student learns from a teacher's vectors or scores.
import type { Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { labelsOf, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairwiseSimilarityOf, type PairSimilarity } from './distance.ts';

/**
 * Mean squared difference between embeddings and target vectors, over all entries and columns: a student learns a
 * teacher's vectors (Reimers and Gurevych, 2020).
 */
export function mseLoss(): Loss {
  return {
    name: 'MSELoss',
    columns: { least: 1, most: Infinity },
    labels: 'vector',
    compute(ops, columns, labels) {
      const targets = labelsOf(labels);
      const errors = columns.map((column) => {
        const error = ops.subtract(column, targets);
        return meanOf(ops, ops.multiply(error, error));
      });
      return ops.divide(
        errors.reduce((sum, error) => ops.add(sum, error)),
        columns.length,
      );
    },
  };
}

/**
 * Mean squared difference between the margins of similarities, query to positive less query to negative, and a
 * teacher's margins (Hofstätter et al., 2020). Columns: query, positive, then any number of negatives. A label has a
 * margin for each negative, or one number more: the teacher's scores of the positive and of each negative, whose
 * differences are the margins.
 * @param options.similarity default `dot`
 */
export function marginMseLoss(options: { readonly similarity?: PairSimilarity | undefined } = {}): Loss {
  checkOptionNames('marginMseLoss()', options, { similarity: true });
  const { similarity = 'dot' } = options;
  return {
    name: 'MarginMSELoss',
    columns: { least: 3, most: Infinity },
    labels: 'margin',
    parameters: { similarity },
    compute(ops, columns, labels) {
      const [query, positive] = pairOf(columns);
      const right = pairwiseSimilarityOf(ops, query, positive, similarity);
      const margins = columns.slice(2).map((negative) => {
        const margin = ops.subtract(right, pairwiseSimilarityOf(ops, query, negative, similarity));
        return ops.reshape(margin, [ops.shape(margin)[0]!, 1]);
      });
      const predicted = ops.concat(margins, 1);
      const error = ops.subtract(
        predicted,
        ops.reshape(marginsOf(ops, labelsOf(labels), margins.length), ops.shape(predicted)),
      );
      return meanOf(ops, ops.multiply(error, error));
    },
  };
}

/** Labels as margins, `[examples, negatives]`, where they may be scores. */
function marginsOf<Tensor>(ops: Operations<Tensor>, labels: Tensor, negatives: number): Tensor {
  if (ops.shape(labels)[1] !== negatives + 1) return labels;
  return ops.subtract(ops.slice(labels, 1, 0, 1), ops.slice(labels, 1, 1, negatives));
}
