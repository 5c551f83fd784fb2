import { labelsOf, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairwiseDot } from './distance.ts';

/** Mean squared difference between embeddings and target vectors, over all entries and columns: a student learns a teacher's vectors (Reimers and Gurevych, 2020). */
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
 * Mean squared difference between the margins of dot products, query · positive - query · negative, and a teacher's margins
 * (Hofstätter et al., 2020). Columns: query, positive, then one negative for each margin of a label.
 */
export function marginMseLoss(): Loss {
  return {
    name: 'MarginMSELoss',
    columns: { least: 3, most: Infinity },
    labels: 'margin',
    parameters: { similarity: 'dot' },
    compute(ops, columns, labels) {
      const [query, positive] = pairOf(columns);
      const right = pairwiseDot(ops, query, positive);
      const margins = columns.slice(2).map((negative) => {
        const margin = ops.subtract(right, pairwiseDot(ops, query, negative));
        return ops.reshape(margin, [ops.shape(margin)[0]!, 1]);
      });
      const predicted = ops.concat(margins, 1);
      const error = ops.subtract(predicted, ops.reshape(labelsOf(labels), ops.shape(predicted)));
      return meanOf(ops, ops.multiply(error, error));
    },
  };
}
