// Projections (dense layers, layer normalizations …) as tensor operations, so that they can be differentiated.
import {
  absolute,
  minimum,
  negate,
  normalizeRows,
  softplus,
  type ActivationFunction,
  type Operations,
  type WeightLookup,
} from '@sentvec/architectures';
import { SentvecError, type Activation, type Projection } from '@sentvec/core';

/** A trainable tensor of a projection. */
export interface ProjectionWeight {
  /** `projection.N.weight` or `projection.N.bias`, where N is the index of the projection in the head. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The trainable tensors of a head. */
export function projectionWeights(projections: readonly Projection[]): ProjectionWeight[] {
  return projections.flatMap((projection, index) => {
    const named = (part: string, shape: readonly number[], data: Float32Array) => ({
      name: `projection.${index}.${part}`,
      shape,
      data,
    });
    if (projection.kind === 'layer-norm') {
      const shape = [projection.weight.length];
      return [named('weight', shape, projection.weight), named('bias', shape, projection.bias)];
    }
    if (projection.kind !== 'dense') return [];
    const { weight, bias, residualWeight } = projection;
    return [
      named('weight', [weight.rows, weight.cols], weight.data),
      ...(bias ? [named('bias', [bias.length], bias)] : []),
      ...(residualWeight
        ? [named('residualWeight', [residualWeight.rows, residualWeight.cols], residualWeight.data)]
        : []),
    ];
  });
}

/**
 * Applies projections by tensor operations. Same results as `applyProjections`.
 * @param vectors `[batch, size]`
 */
export function project<Tensor>(
  ops: Operations<Tensor>,
  projections: readonly Projection[],
  weight: WeightLookup<Tensor>,
  vectors: Tensor,
): Tensor {
  return projections.reduce((current, projection, index) => {
    const own = (part: string) => weight(`projection.${index}.${part}`);
    switch (projection.kind) {
      case 'normalize':
        return normalizeRows(ops, current);
      case 'truncate':
        return ops.slice(current, 1, 0, projection.size);
      case 'layer-norm':
        return ops.layerNorm(current, own('weight'), own('bias'), projection.epsilon).output;
      case 'dense': {
        const outputs = ops.linear(current, own('weight'), projection.bias ? own('bias') : undefined);
        const activated = activationOf(projection.activation)(ops, outputs);
        if (!projection.residual) return activated;
        return ops.add(activated, projection.residualWeight ? ops.linear(current, own('residualWeight')) : current);
      }
      default:
        return projection satisfies never;
    }
  }, vectors);
}

function activationOf(name: Activation): ActivationFunction {
  const found = activations[name];
  if (found !== undefined) return found;
  throw new SentvecError(
    'unsupported-model',
    `A dense projection with the activation ${name} cannot be trained. Supported activations: ${Object.keys(activations).join(', ')}.`,
  );
}

const negativeBranchOfElu: ActivationFunction = (ops, x) => ops.subtract(ops.exp(minimum(ops, x, 0)), 1);
const clamp = <Tensor>(ops: Operations<Tensor>, x: Tensor, low: number, high: number) =>
  minimum(ops, ops.maximum(x, low), high);

/** Activations of `torch.nn` with their default parameters. */
const activations: Readonly<Partial<Record<Activation, ActivationFunction>>> = {
  Identity: (_, x) => x,
  Tanh: (ops, x) => ops.tanh(x),
  ReLU: (ops, x) => ops.relu(x),
  ReLU6: (ops, x) => minimum(ops, ops.relu(x), 6),
  GELU: (ops, x) => ops.gelu(x),
  Sigmoid: (ops, x) => ops.sigmoid(x),
  LogSigmoid: (ops, x) => negate(ops, softplus(ops, negate(ops, x))),
  SiLU: (ops, x) => ops.multiply(x, ops.sigmoid(x)),
  Mish: (ops, x) => ops.multiply(x, ops.tanh(softplus(ops, x))),
  LeakyReLU: (ops, x) => ops.where(ops.greater(x, 0), x, ops.multiply(x, 0.01)),
  ELU: (ops, x) => ops.where(ops.greater(x, 0), x, negativeBranchOfElu(ops, x)),
  Softplus: softplus,
  Softsign: (ops, x) => ops.divide(x, ops.add(absolute(ops, x), 1)),
  Hardtanh: (ops, x) => clamp(ops, x, -1, 1),
  Tanhshrink: (ops, x) => ops.subtract(x, ops.tanh(x)),
  Hardsigmoid: (ops, x) => ops.divide(clamp(ops, ops.add(x, 3), 0, 6), 6),
  Hardswish: (ops, x) => ops.divide(ops.multiply(x, clamp(ops, ops.add(x, 3), 0, 6)), 6),
};
