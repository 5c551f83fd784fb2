import type { Operations } from '@sentvec/architectures';
import { SentvecError, type Pooling, type PoolingMode } from '@sentvec/core';

/** Value of masked entries before a maximum. */
const maskedValue = -1e30;

/**
 * The built-in poolings as tensor operations, so that they can be differentiated. Same results as `Pooling.pool`.
 *
 * @param tokens `[batch, length, hidden]`
 * @param mask floats `[batch, length]`, 1 for a pooled token. Every text has at least one
 * @returns `[batch, hidden · modes]`
 * @throws SentvecError `unsupported-model` for a custom pooling, which has no gradient
 */
export function poolTokens<Tensor>(ops: Operations<Tensor>, pooling: Pooling, tokens: Tensor, mask: Tensor): Tensor {
  if (pooling.modes === undefined) {
    throw new SentvecError(
      'unsupported-model',
      `The pooling "${pooling.name}" is custom, so its gradient is unknown. Train with a built-in pooling.`,
    );
  }
  return ops.concat(
    pooling.modes.map((mode) => poolers[mode](ops, tokens, mask)),
    1,
  );
}

type Pooler = <Tensor>(ops: Operations<Tensor>, tokens: Tensor, mask: Tensor) => Tensor;

const poolers: Readonly<Record<PoolingMode, Pooler>> = {
  mean: (ops, tokens, mask) => ops.divide(weightedSum(ops, tokens, mask), counts(ops, mask)),
  mean_sqrt_len_tokens: (ops, tokens, mask) => ops.divide(weightedSum(ops, tokens, mask), ops.sqrt(counts(ops, mask))),
  weightedmean: (ops, tokens, mask) => {
    const positions = ops.add(ops.toFloat(ops.range(ops.shape(mask)[1]!)), 1);
    const weights = ops.multiply(mask, ops.reshape(positions, [1, ops.shape(mask)[1]!]));
    return ops.divide(weightedSum(ops, tokens, weights), counts(ops, weights));
  },
  max: (ops, tokens, mask) => ops.max(ops.where(perToken(ops, mask), tokens, maskedValue), [1]),
  cls: (ops, tokens, mask) => weightedSum(ops, tokens, ops.multiply(mask, ops.equal(ops.cumulativeSum(mask, 1), 1))),
  lasttoken: (ops, tokens, mask) =>
    weightedSum(ops, tokens, ops.multiply(mask, ops.equal(ops.cumulativeSum(mask, 1), ops.sum(mask, [1], true)))),
};

/** `[batch, hidden]` */
function weightedSum<Tensor>(ops: Operations<Tensor>, tokens: Tensor, weights: Tensor): Tensor {
  const [batch, length, hidden] = ops.shape(tokens);
  // Computed as a matrix product, [1, length] · [length, hidden] for each text.
  const row = ops.reshape(weights, [batch!, 1, length!]);
  return ops.reshape(ops.matmul(row, tokens), [batch!, hidden!]);
}

/** The sum of the weights of each text, at least 1e-9 to avoid a division by 0: `[batch, 1]` */
function counts<Tensor>(ops: Operations<Tensor>, weights: Tensor): Tensor {
  return ops.maximum(ops.sum(weights, [1], true), 1e-9);
}

/** Reshapes `[batch, length]` to `[batch, length, 1]`. */
function perToken<Tensor>(ops: Operations<Tensor>, mask: Tensor): Tensor {
  return ops.reshape(mask, [...ops.shape(mask), 1]);
}
