// Linear layers in groups, which models store as convolutions: each group of outputs depends on its group of inputs.
import type { Operations } from '../operations.ts';

/**
 * A linear layer in groups: the i-th part of the outputs depends only on the i-th part of the inputs.
 * @param x rows, `[rows, inputs]`
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
