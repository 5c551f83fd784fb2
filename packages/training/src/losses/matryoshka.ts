// MatryoshkaLoss: applies another loss to truncated embeddings.
import { normalizeRows, type Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { checkedParameter, checkedPerStep, firstOf, inputsOf, type Loss } from '../loss.ts';

/**
 * Applies another loss to embeddings that are truncated to several dimensions and normalized, and sums the results. The
 * embeddings of the trained model can be truncated (Matryoshka representation learning: Kusupati et al., 2022).
 * @param dims the truncated dimensions, each at most the dimension of the model
 * @param weights the weight of each dimension, at least 0; default 1 for each
 * @param options.dimsPerStep how many of the dimensions a step trains, drawn at random; default -1, all
 * @throws SentvecError `invalid-argument`
 */
export function matryoshkaLoss(
  loss: Loss,
  dims: readonly number[],
  weights: readonly number[] = dims.map(() => 1),
  options: { readonly dimsPerStep?: number | undefined } = {},
): Loss {
  checkOptionNames('matryoshkaLoss()', options, { dimsPerStep: true });
  const { dimsPerStep = -1 } = options;
  checkedPerStep('MatryoshkaLoss', 'n_dims_per_step', dimsPerStep);
  if (dims.length === 0 || !dims.every((size) => Number.isInteger(size) && size >= 1))
    throw new SentvecError(
      'invalid-argument',
      `MatryoshkaLoss: "dims" must be one or more whole numbers of at least 1, not ${JSON.stringify(dims)}.`,
    );
  if (weights.length !== dims.length)
    throw new SentvecError(
      'invalid-argument',
      `MatryoshkaLoss needs one weight for each of its ${dims.length} "dims", not ${weights.length}.`,
    );
  for (const weight of weights) checkedParameter('MatryoshkaLoss', 'weights', weight);
  if (loss.weights !== undefined || loss.draws !== undefined)
    throw new SentvecError(
      'invalid-argument',
      `MatryoshkaLoss cannot wrap ${loss.name}, ${loss.weights ? 'because its classifier needs vectors of one dimension' : 'because that loss truncates vectors itself'}.`,
    );
  const isDrawn = dimsPerStep > 0 && dimsPerStep < dims.length;
  const hasTargets = loss.labels === 'vector' || loss.labels === 'vectors';
  return {
    ...loss,
    name: 'MatryoshkaLoss',
    parameters: {
      matryoshka_dims: dims,
      matryoshka_weights: weights,
      n_dims_per_step: dimsPerStep,
      loss: loss.name,
      loss_params: loss.parameters ?? {},
    },
    draws: () => (isDrawn ? [{ from: dims.length, take: dimsPerStep }] : []),
    dimensionError(dimension) {
      const largest = Math.max(...dims);
      if (largest > dimension) return `"dims" contains ${largest}, but the dimension of the vectors is ${dimension}`;
      return dims.map((size) => loss.dimensionError?.(size)).find((problem) => problem !== undefined);
    },
    compute(ops, columns, labels, inputs) {
      const takesPart = isDrawn ? inputsOf(inputs).drawn(0) : undefined;
      const terms = dims.map((size, index) => {
        const cut = (vectors: (typeof columns)[number]) => normalizeRows(ops, ops.slice(vectors, 1, 0, size));
        const targets = labels !== undefined && hasTargets ? truncateTargets(ops, labels, columns, cut) : labels;
        const term = ops.multiply(loss.compute(ops, columns.map(cut), targets), weights[index]!);
        return takesPart ? ops.multiply(term, ops.reshape(ops.slice(takesPart, 0, index, 1), [])) : term;
      });
      return terms.reduce((sum, term) => ops.add(sum, term));
    },
  };
}

/** Truncates target vectors like embeddings. Labels have one target for all columns, or one for each, concatenated. */
function truncateTargets<Tensor>(
  ops: Operations<Tensor>,
  labels: Tensor,
  columns: readonly Tensor[],
  cut: (vectors: Tensor) => Tensor,
): Tensor {
  const dimension = Number(ops.shape(firstOf(columns))[1]);
  if (ops.shape(labels)[1] === dimension) return cut(labels);
  return ops.concat(
    columns.map((_, index) => cut(ops.slice(labels, 1, index * dimension, dimension))),
    1,
  );
}
