// Computes projections: dense layers, layer normalization, normalization to length 1, truncation.
import { applyActivation } from './activation.ts';
import { productWithTransposed } from './dense-product.ts';
import { SentvecError } from '../errors.ts';
import type { Matrix, Projection } from '../types.ts';

type Dense = Extract<Projection, { kind: 'dense' }>;
type LayerNorm = Extract<Projection, { kind: 'layer-norm' }>;

/**
 * Length of the vectors that a projection gives for vectors of `inputSize`.
 * @throws SentvecError `invalid-argument` when the projection does not accept vectors of that length
 */
export function projectionOutputSize(projection: Projection, inputSize: number): number {
  const problem = validateProjection(projection, inputSize);
  if (problem !== undefined) throw new SentvecError('invalid-argument', `A projection does not fit: ${problem}.`);
  switch (projection.kind) {
    case 'dense':
      return projection.weight.rows;
    case 'truncate':
      return Math.min(projection.size, inputSize);
    default:
      return inputSize;
  }
}

/** A description of why a projection does not accept vectors of `inputSize`; `undefined` when it does. */
export function validateProjection(projection: Projection, inputSize: number): string | undefined {
  if (projection.kind === 'layer-norm') {
    const sizes = [projection.weight.length, projection.bias.length];
    return sizes.every((size) => size === inputSize)
      ? undefined
      : `a layer norm of ${sizes.join(' and ')} entries gets vectors of ${inputSize}`;
  }
  if (projection.kind !== 'dense') return undefined;
  const { weight, bias, residual = false, residualWeight } = projection;
  if (weight.cols !== inputSize) return `a dense layer of ${weight.rows} × ${weight.cols} gets vectors of ${inputSize}`;
  if (bias !== undefined && bias.length !== weight.rows)
    return `a dense layer of ${weight.rows} outputs has ${bias.length} biases`;
  if (!residual) return undefined;
  const through = residualWeight ?? { rows: inputSize, cols: inputSize };
  if (through.rows === weight.rows && through.cols === inputSize) return undefined;
  return `a dense layer of ${weight.rows} × ${weight.cols} has a residual of ${through.rows} × ${through.cols}`;
}

/**
 * Applies projections in order. Returns `vectors` itself when there are none, otherwise a new matrix. The result of a
 * row is identical, bit for bit, whatever the other rows are. The weights of dense layers are copied at their first
 * use: later changes to them have no effect.
 * @throws SentvecError `invalid-argument` when a projection does not fit
 */
export function applyProjections(projections: readonly Projection[], vectors: Matrix): Matrix {
  let current = vectors;
  for (const projection of projections) {
    const cols = projectionOutputSize(projection, current.cols);
    if (projection.kind === 'dense') {
      current = dense(projection, current);
    } else if (projection.kind === 'truncate') {
      current = firstColumns(current, cols);
    } else {
      // Normalization works in place, so the caller's matrix is copied first.
      if (current === vectors) current = { ...vectors, data: vectors.data.slice() };
      if (projection.kind === 'normalize') normalizeRows(current);
      else layerNorm(projection, current);
    }
  }
  return current;
}

/** Divides each row by its Euclidean norm, at least 1e-12, in place. */
function normalizeRows({ data, rows, cols }: Matrix): void {
  for (let row = 0; row < rows; row++) {
    const [begin, end] = [row * cols, (row + 1) * cols];
    let squares = 0;
    for (let i = begin; i < end; i++) squares += data[i]! * data[i]!;
    const norm = Math.max(Math.sqrt(squares), 1e-12);
    for (let i = begin; i < end; i++) data[i] = data[i]! / norm;
  }
}

function layerNorm({ weight, bias, epsilon }: LayerNorm, { data, rows, cols }: Matrix): void {
  for (let row = 0; row < rows; row++) {
    const begin = row * cols;
    let sum = 0;
    for (let i = 0; i < cols; i++) sum += data[begin + i]!;
    const mean = sum / cols;
    let squares = 0;
    for (let i = 0; i < cols; i++) squares += (data[begin + i]! - mean) ** 2;
    const deviation = Math.sqrt(squares / cols + epsilon);
    for (let i = 0; i < cols; i++) data[begin + i] = ((data[begin + i]! - mean) / deviation) * weight[i]! + bias[i]!;
  }
}

function firstColumns({ data, rows, cols }: Matrix, size: number): Matrix {
  const first = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) first.set(data.subarray(row * cols, row * cols + size), row * size);
  return { data: first, rows, cols: size };
}

function dense({ weight, bias, activation, residual, residualWeight }: Dense, input: Matrix): Matrix {
  const output = productWithTransposed(input, weight);
  const { data, rows, cols } = output;
  if (bias !== undefined) {
    for (let row = 0; row < rows; row++) for (let i = 0; i < cols; i++) data[row * cols + i]! += bias[i]!;
  }
  applyActivation(activation, data, cols);
  if (residual) {
    const through = residualWeight === undefined ? input.data : productWithTransposed(input, residualWeight).data;
    for (let i = 0; i < data.length; i++) data[i]! += through[i]!;
  }
  return output;
}
