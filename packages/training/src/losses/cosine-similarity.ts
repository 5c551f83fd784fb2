import { labelsOf, pairOf, type Loss } from '../loss.ts';
import { meanOf, pairwiseCosine } from './distance.ts';

/**
 * Mean squared difference between the cosine of two texts and their score. The regression objective of Sentence-BERT
 * (Reimers and Gurevych, 2019).
 */
export function cosineSimilarityLoss(): Loss {
  return {
    name: 'CosineSimilarityLoss',
    columns: { least: 2, most: 2 },
    labels: 'score',
    compute(ops, columns, labels) {
      const [anchor, positive] = pairOf(columns);
      const error = ops.subtract(pairwiseCosine(ops, anchor, positive), labelsOf(labels));
      return meanOf(ops, ops.multiply(error, error));
    },
  };
}
