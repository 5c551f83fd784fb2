import { normalizeRows } from '@sentvec/architectures';
import type { Loss } from '../loss.ts';

/**
 * Another loss on the first entries of each embedding, normalized, summed over several sizes: vectors that can be cut short
 * (Matryoshka representation learning: Kusupati et al., 2022).
 *
 * @param dims how many entries to keep, each at most the dimension
 * @param weights of each size, default 1
 */
export function matryoshkaLoss(loss: Loss, dims: readonly number[], weights: readonly number[] = dims.map(() => 1)): Loss {
  return {
    ...loss,
    name: 'MatryoshkaLoss',
    parameters: { dims, weights, loss: loss.name, loss_params: loss.parameters ?? {} },
    compute(ops, columns, labels) {
      const terms = dims.map((size, index) => {
        const cut = columns.map((column) => normalizeRows(ops, ops.slice(column, 1, 0, size)));
        return ops.multiply(loss.compute(ops, cut, labels), weights[index] ?? 1);
      });
      return terms.reduce((sum, term) => ops.add(sum, term));
    },
  };
}
