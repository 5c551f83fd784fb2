// The activation functions of PyTorch that a dense layer may have, and the error function, which GELU needs.
import type { Activation } from '../types.ts';

type NumberActivation = Exclude<Activation, RowActivation>;
type RowActivation = 'Softmax' | 'Softmin' | 'LogSoftmax';

/**
 * Applies an activation in place, with the default parameters of its class in `torch.nn` (sentence-transformers stores
 * only the class): GELU is the exact form with erf, and RReLU uses the fixed slope of evaluation mode. Softmax, Softmin
 * and LogSoftmax work on each row.
 * @param data rows of `cols` numbers each
 */
export function applyActivation(activation: Activation, data: Float32Array, cols: number): void {
  if (activation === 'Identity') return;
  if (isRowActivation(activation)) {
    for (let start = 0; start < data.length; start += cols)
      rowActivations[activation](data.subarray(start, start + cols));
    return;
  }
  const activate = numberActivations[activation];
  for (let i = 0; i < data.length; i++) data[i] = activate(data[i]!);
}

/** Whether there is an activation of that name. */
export function isActivation(name: string): name is Activation {
  return Object.hasOwn(numberActivations, name) || Object.hasOwn(rowActivations, name);
}

/**
 * The error function in double precision. Uses a series with only positive terms, which has no cancellation (Abramowitz
 * and Stegun 7.1.6). Beyond 6 the result is 1 in double precision.
 */
export function erf(x: number): number {
  if (Math.abs(x) >= 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const selu = { alpha: 1.673_263_242_354_377_2, scale: 1.050_700_987_355_480_5 };
const rreluSlope = (1 / 8 + 1 / 3) / 2;

const numberActivations: Readonly<Record<NumberActivation, (x: number) => number>> = {
  Identity: (x) => x,
  Tanh: Math.tanh,
  ReLU: (x) => Math.max(0, x),
  ReLU6: (x) => clamp(x, 0, 6),
  GELU: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  Sigmoid: sigmoid,
  LogSigmoid: (x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))),
  Hardsigmoid: (x) => clamp(x + 3, 0, 6) / 6,
  SiLU: (x) => x * sigmoid(x),
  Hardswish: (x) => (x * clamp(x + 3, 0, 6)) / 6,
  Mish: (x) => x * Math.tanh(softplus(x)),
  LeakyReLU: (x) => (x > 0 ? x : 0.01 * x),
  RReLU: (x) => (x > 0 ? x : rreluSlope * x),
  ELU: (x) => (x > 0 ? x : Math.expm1(x)),
  CELU: (x) => (x > 0 ? x : Math.expm1(x)),
  SELU: (x) => selu.scale * (x > 0 ? x : selu.alpha * Math.expm1(x)),
  Softplus: softplus,
  Softsign: (x) => x / (1 + Math.abs(x)),
  Hardtanh: (x) => clamp(x, -1, 1),
  Tanhshrink: (x) => x - Math.tanh(x),
  Hardshrink: (x) => (Math.abs(x) <= 0.5 ? 0 : x),
  Softshrink: (x) => x - clamp(x, -0.5, 0.5),
};

const rowActivations: Readonly<Record<RowActivation, (row: Float32Array) => void>> = {
  Softmax: (row) => {
    const shift = row.reduce((largest, x) => Math.max(largest, x), -Infinity);
    const sum = row.reduce((total, x) => total + Math.exp(x - shift), 0);
    for (let i = 0; i < row.length; i++) row[i] = Math.exp(row[i]! - shift) / sum;
  },
  Softmin: (row) => {
    for (let i = 0; i < row.length; i++) row[i] = -row[i]!;
    rowActivations.Softmax(row);
  },
  LogSoftmax: (row) => {
    const shift = row.reduce((largest, x) => Math.max(largest, x), -Infinity);
    const sum = row.reduce((total, x) => total + Math.exp(x - shift), 0);
    for (let i = 0; i < row.length; i++) row[i] = row[i]! - shift - Math.log(sum);
  },
};

function isRowActivation(activation: Activation): activation is RowActivation {
  return Object.hasOwn(rowActivations, activation);
}

function clamp(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Linear beyond 20, as in `torch.nn.Softplus`. */
function softplus(x: number): number {
  return x > 20 ? x : Math.log1p(Math.exp(x));
}
