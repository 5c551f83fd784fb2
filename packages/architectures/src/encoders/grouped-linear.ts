// Grouped linear layers, which models store as grouped convolutions.
import type { Operations } from '../operations.ts';

/**
 * A grouped linear layer: the i-th group of outputs depends only on the i-th group of inputs. The result is `[rows,
 * outputs]`.
 * @param x `[rows, inputs]`
 * @param weight `[outputs, inputs / groups]`
 * @param bias `[outputs]`
 */
export function groupedLinear<T>(ops: Operations<T>, x: T, weight: T, bias: T, groups: number): T {
  if (groups === 1) return ops.linear(x, weight, bias);
  const [rows, inputs] = ops.shape(x) as [number, number];
  const [outputs, inputsOfGroup] = ops.shape(weight) as [number, number];
  const parts = ops.transpose(ops.reshape(x, [rows, groups, inputs / groups]), [1, 0, 2]);
  const weights = ops.reshape(weight, [groups, outputs / groups, inputsOfGroup]);
  const products = ops.matmul(parts, weights, { transposeRight: true });
  return ops.add(ops.reshape(ops.transpose(products, [1, 0, 2]), [rows, outputs]), bias);
}
