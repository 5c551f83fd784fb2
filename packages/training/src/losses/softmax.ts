// SoftmaxLoss of Sentence-BERT: a linear layer classifies pairs of embeddings. It is not saved with the model.
import { absolute } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { inputsOf, labelsOf, pairOf, type Loss } from '../loss.ts';
import { Random } from '../random.ts';
import { crossEntropy } from './pair-scores.ts';

/** Options of {@link softmaxLoss}. */
export interface SoftmaxOptions {
  /** The number of labels, at least 2. */
  readonly labels: number;
  /** Whether the classifier's input contains both embeddings, u and v. @default true */
  readonly embeddings?: boolean | undefined;
  /** Whether the classifier's input contains |u - v|. @default true */
  readonly difference?: boolean | undefined;
  /** Whether the classifier's input contains the element-wise product of u and v. @default false */
  readonly product?: boolean | undefined;
  /** Seed of the classifier's initial weights. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * Cross entropy of a linear classifier over a pair of embeddings u and v. Its input is u, v and |u - v|, concatenated;
 * its labels are, for example, entailment, neutral and contradiction (Reimers and Gurevych, 2019). The classifier is
 * trained together with the model. It is initialized like `torch.nn.Linear`: uniform between ±1 / √inputs.
 * @throws SentvecError `invalid-argument` for fewer than 2 labels, or when the classifier has no input
 */
export function softmaxLoss(options: SoftmaxOptions): Loss {
  checkOptionNames('softmaxLoss()', options, {
    labels: true,
    embeddings: true,
    difference: true,
    product: true,
    seed: true,
  });
  const { labels: count, embeddings = true, difference = true, product = false, seed = 42 } = options;
  if (!(Number.isSafeInteger(count) && count >= 2))
    throw new SentvecError(
      'invalid-argument',
      `SoftmaxLoss: "num_labels" must be a whole number of at least 2, not ${count}.`,
    );
  const parts = (embeddings ? 2 : 0) + Number(difference) + Number(product);
  if (parts === 0)
    throw new SentvecError(
      'invalid-argument',
      'SoftmaxLoss: one of "concatenation_sent_rep", "concatenation_sent_difference" and "concatenation_sent_multiplication" must be true.',
    );
  return {
    name: 'SoftmaxLoss',
    columns: { least: 2, most: 2 },
    labels: 'index',
    labelCount: count,
    parameters: {
      num_labels: count,
      concatenation_sent_rep: embeddings,
      concatenation_sent_difference: difference,
      concatenation_sent_multiplication: product,
    },
    weights(dimension) {
      const width = parts * dimension;
      const random = new Random(seed);
      const uniform = (size: number) =>
        Float32Array.from({ length: size }, () => (2 * random.uniform() - 1) / Math.sqrt(width));
      return [
        { name: 'classifier.weight', shape: [count, width], data: uniform(count * width) },
        { name: 'classifier.bias', shape: [count], data: uniform(count) },
      ];
    },
    compute(ops, columns, labels, inputs) {
      const [u, v] = pairOf(columns);
      const given = inputsOf(inputs);
      const read = [
        ...(embeddings ? [u, v] : []),
        ...(difference ? [absolute(ops, ops.subtract(u, v))] : []),
        ...(product ? [ops.multiply(u, v)] : []),
      ];
      const scores = ops.linear(
        ops.concat(read, 1),
        given.weight('classifier.weight'),
        given.weight('classifier.bias'),
      );
      return crossEntropy(ops, scores, labelsOf(labels));
    },
  };
}
