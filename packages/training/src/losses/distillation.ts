// Distillation losses: a student learns a teacher's vectors or scores.
import { logSoftmax, type Operations } from '@sentvec/architectures';
import { checkOptionNames } from '@sentvec/platform';
import { checkedChoice, checkedParameter, firstOf, labelsOf, type Loss } from '../loss.ts';
import { meanOf, pairSimilarities, pairwiseCosine, pairwiseSimilarityOf, type PairSimilarity } from './distance.ts';

/**
 * Mean squared error of embeddings against a teacher's vectors, over all entries and columns (Reimers and Gurevych,
 * 2020).
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
 * Mean squared error of the student's margins against a teacher's (Hofstätter et al., 2020). A margin is sim(query,
 * positive) - sim(query, negative). Columns: query, positive, then any number of negatives. A label is the teacher's
 * margin for each negative, or its scores of the positive and of each negative.
 * @param options.similarity default `dot`
 */
export function marginMseLoss(options: { readonly similarity?: PairSimilarity | undefined } = {}): Loss {
  checkOptionNames('marginMseLoss()', options, { similarity: true });
  const { similarity = 'dot' } = options;
  checkedChoice('MarginMSELoss', 'similarity', similarity, pairSimilarities);
  return {
    name: 'MarginMSELoss',
    columns: { least: 3, most: Infinity },
    labels: 'margin',
    parameters: { similarity },
    compute(ops, columns, labels) {
      return marginError(ops, scoresOfCandidates(ops, columns, similarity), labelsOf(labels), columns.length - 2);
    },
  };
}

/**
 * Mean squared error of margins against labels. A margin is the score of the first candidate minus that of another.
 * @param scores `[examples, 1 + negatives]`
 */
export function marginError<Tensor>(
  ops: Operations<Tensor>,
  scores: Tensor,
  labels: Tensor,
  negatives: number,
): Tensor {
  const predicted = ops.subtract(ops.slice(scores, 1, 0, 1), ops.slice(scores, 1, 1, negatives));
  const error = ops.subtract(predicted, ops.reshape(marginsOf(ops, labels, negatives), ops.shape(predicted)));
  return meanOf(ops, ops.multiply(error, error));
}

/** The similarity of the first column with each other column: `[examples, columns - 1]`. */
function scoresOfCandidates<Tensor>(
  ops: Operations<Tensor>,
  columns: readonly Tensor[],
  similarity: PairSimilarity,
): Tensor {
  const scores = columns.slice(1).map((candidate) => {
    const score = pairwiseSimilarityOf(ops, firstOf(columns), candidate, similarity);
    return ops.reshape(score, [ops.shape(score)[0]!, 1]);
  });
  return ops.concat(scores, 1);
}

/** Options of {@link distillKlDivLoss}. */
export interface DistillKlDivOptions {
  /** @default 'dot' */
  readonly similarity?: PairSimilarity | undefined;
  /**
   * The scores of student and teacher are divided by it. Values above 1 give low-scored candidates more weight.
   * @default 1
   */
  readonly temperature?: number | undefined;
}

/**
 * Kullback-Leibler divergence of the student's distribution over the candidates of a query from the teacher's, times
 * temperature² (Hinton et al., 2015; Lin et al., 2020). Columns: query, positive, at least one negative. A label is the
 * teacher's score of each candidate (positive, negatives).
 * @throws SentvecError `invalid-argument`
 */
export function distillKlDivLoss(options: DistillKlDivOptions = {}): Loss {
  checkOptionNames('distillKlDivLoss()', options, { similarity: true, temperature: true });
  const { similarity = 'dot', temperature = 1 } = options;
  checkedChoice('DistillKLDivLoss', 'similarity', similarity, pairSimilarities);
  checkedParameter('DistillKLDivLoss', 'temperature', temperature, 'positive');
  return {
    name: 'DistillKLDivLoss',
    columns: { least: 3, most: Infinity },
    labels: 'scores',
    parameters: { similarity, temperature },
    compute(ops, columns, labels) {
      return divergenceFrom(ops, scoresOfCandidates(ops, columns, similarity), labelsOf(labels), temperature);
    },
  };
}

/** KL divergence of softmax(scores) from softmax(labels), both `[examples, candidates]`, times temperature². */
export function divergenceFrom<Tensor>(
  ops: Operations<Tensor>,
  scores: Tensor,
  labels: Tensor,
  temperature: number,
): Tensor {
  const student = logSoftmax(ops, ops.divide(scores, temperature));
  const teacher = logSoftmax(ops, ops.divide(ops.reshape(labels, ops.shape(student)), temperature));
  const divergence = ops.sum(ops.multiply(ops.exp(teacher), ops.subtract(teacher, student)), [1]);
  return ops.multiply(meanOf(ops, divergence), temperature ** 2);
}

/**
 * Mean distance between embeddings and a teacher's vectors, over all columns (Kim et al., 2023). A label is one target
 * vector for all columns, or one vector for each column, concatenated.
 * @param options.distance `cosine`, `mse` (the mean of squared differences) or `l2`; default `cosine`
 */
export function embedDistillLoss(options: { readonly distance?: 'cosine' | 'mse' | 'l2' | undefined } = {}): Loss {
  checkOptionNames('embedDistillLoss()', options, { distance: true });
  const { distance = 'cosine' } = options;
  checkedChoice('EmbedDistillLoss', 'distance', distance, ['cosine', 'mse', 'l2']);
  return {
    name: 'EmbedDistillLoss',
    columns: { least: 1, most: Infinity },
    labels: 'vectors',
    parameters: { distance },
    compute(ops, columns, labels) {
      const costs = columns.map((column, index) => {
        const target = labelOfColumn(ops, labelsOf(labels), columns, index);
        if (distance === 'cosine') return meanOf(ops, ops.subtract(1, pairwiseCosine(ops, column, target)));
        const difference = ops.subtract(column, target);
        const squares = ops.multiply(difference, difference);
        return meanOf(ops, distance === 'mse' ? squares : ops.sqrt(ops.sum(squares, [1])));
      });
      return ops.divide(
        costs.reduce((sum, cost) => ops.add(sum, cost)),
        costs.length,
      );
    },
  };
}

/** The target vectors of a column: labels have one vector for all columns, or one for each. */
function labelOfColumn<Tensor>(
  ops: Operations<Tensor>,
  labels: Tensor,
  columns: readonly Tensor[],
  index: number,
): Tensor {
  const dimension = ops.shape(columns[index]!)[1]!;
  if (ops.shape(labels)[1] === dimension) return labels;
  return ops.slice(labels, 1, index * Number(dimension), dimension);
}

/** Converts labels to margins, `[examples, negatives]`. Labels with one number more are scores. */
function marginsOf<Tensor>(ops: Operations<Tensor>, labels: Tensor, negatives: number): Tensor {
  if (ops.shape(labels)[1] !== negatives + 1) return labels;
  return ops.subtract(ops.slice(labels, 1, 0, 1), ops.slice(labels, 1, 1, negatives));
}
