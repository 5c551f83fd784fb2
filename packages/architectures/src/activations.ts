import { minimum, softplus } from './derived-operations.ts';
import type { Operations } from './operations.ts';

/** An activation function, applied to each entry of a tensor of any shape. */
export type ActivationFunction = <T>(ops: Operations<T>, x: T) => T;

/** x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2, the approximation of GELU with which some models were trained. */
const geluTanh: ActivationFunction = (ops, x) => {
  const cube = ops.multiply(ops.multiply(x, x), x);
  const inner = ops.multiply(ops.add(x, ops.multiply(cube, 0.044715)), Math.sqrt(2 / Math.PI));
  return ops.multiply(ops.multiply(x, 0.5), ops.add(ops.tanh(inner), 1));
};

const silu: ActivationFunction = (ops, x) => ops.multiply(x, ops.sigmoid(x));

/** Mean and scale with which the Laplace activation approximates relu2 (Mega, Ma et al., 2022). */
const [laplaceMean, laplaceScale] = [0.707_107, 1 / (0.282_095 * Math.SQRT2)];

/**
 * The activations that `hidden_act` in `config.json` may name: the table `ACT2FN` of transformers (activations.py)
 * without activations that have weights.
 */
export const hiddenActivations: ReadonlyMap<string, ActivationFunction> = new Map<string, ActivationFunction>([
  ['gelu', (ops, x) => ops.gelu(x)],
  ['gelu_python', (ops, x) => ops.gelu(x)],
  ['gelu_10', (ops, x) => minimum(ops, ops.maximum(ops.gelu(x), -10), 10)],
  ['gelu_accurate', geluTanh],
  ['gelu_new', geluTanh],
  ['gelu_python_tanh', geluTanh],
  ['gelu_pytorch_tanh', geluTanh],
  ['gelu_fast', geluTanh],
  ['quick_gelu', (ops, x) => ops.multiply(x, ops.sigmoid(ops.multiply(x, 1.702)))],
  ['hardswish', (ops, x) => ops.multiply(x, ops.multiply(minimum(ops, ops.relu(ops.add(x, 3)), 6), 1 / 6))],
  [
    'laplace',
    (ops, x) => ops.multiply(ops.add(ops.erf(ops.multiply(ops.subtract(x, laplaceMean), laplaceScale)), 1), 0.5),
  ],
  ['leaky_relu', (ops, x) => ops.maximum(x, ops.multiply(x, 0.01))],
  ['relu', (ops, x) => ops.relu(x)],
  ['relu2', (ops, x) => ops.multiply(ops.relu(x), ops.relu(x))],
  ['relu6', (ops, x) => minimum(ops, ops.relu(x), 6)],
  ['silu', silu],
  ['swish', silu],
  ['mish', (ops, x) => ops.multiply(x, ops.tanh(softplus(ops, x)))],
  ['tanh', (ops, x) => ops.tanh(x)],
  ['sigmoid', (ops, x) => ops.sigmoid(x)],
  ['sqrtsoftplus', (ops, x) => ops.sqrt(softplus(ops, x))],
  ['linear', (_, x) => x],
]);
