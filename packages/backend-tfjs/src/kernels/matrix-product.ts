// The matrix products of TensorFlow.js on our kernel.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import { addressOf, kernelsOf } from './kernel-module.ts';

interface Product {
  readonly a: TensorInfo;
  readonly b: TensorInfo;
  readonly bias?: TensorInfo | undefined;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Matrices of a tensor, one after the other; the axes before the last two are counted through. */
interface Matrices {
  readonly count: number;
  readonly rows: number;
  readonly cols: number;
  readonly address: number;
}

/** The kernel `BatchMatMul`: transposed operands and batches as fast as single matrices. */
export const batchMatMul: KernelFunc = ({ inputs, attrs, backend }) =>
  multiply(backend as BackendWasm, { ...(inputs as unknown as Product), ...(attrs as unknown as Product) });

/** The kernel `_FusedMatMul`, without an activation. */
export const fusedMatMul: KernelFunc = ({ inputs, attrs, backend }) =>
  multiply(backend as BackendWasm, { ...(inputs as unknown as Product), ...(attrs as unknown as Product) });

function multiply(backend: BackendWasm, { a, b, bias, transposeA, transposeB }: Product): TensorInfo {
  const kernels = kernelsOf(backend);
  const [left, right] = [matricesOf(backend, a), matricesOf(backend, b)];
  const [rows, inner] = transposeA ? [left.cols, left.rows] : [left.rows, left.cols];
  const cols = transposeB ? right.rows : right.cols;
  const outer = left.count >= right.count ? a.shape.slice(0, -2) : b.shape.slice(0, -2);
  if (![1, right.count].includes(left.count) && right.count !== 1) {
    throw new Error(
      `BatchMatMul: [${a.shape.join(', ')}] and [${b.shape.join(', ')}] hold different numbers of matrices.`,
    );
  }
  const out = backend.makeOutput([...outer, rows, cols], 'float32');
  const result = matricesOf(backend, out);
  // The kernel sums along the rows of both operands.
  const [leftAt, rightAt] = [new Reader(backend, left, transposeA), new Reader(backend, right, !transposeB)];
  for (let index = 0; index < result.count; index += 1) {
    const target = result.address + index * rows * cols * Float32Array.BYTES_PER_ELEMENT;
    kernels.matrixProduct(
      leftAt.address(index),
      rightAt.address(index),
      target,
      bias === undefined ? 0 : addressOf(backend, bias),
      rows,
      cols,
      inner,
    );
  }
  leftAt.release();
  rightAt.release();
  return out;
}

/** Gives the address of each matrix, or of its transposed copy. */
class Reader {
  readonly #backend: BackendWasm;
  readonly #matrices: Matrices;
  readonly #scratch: TensorInfo | undefined;
  #copied = -1;

  constructor(backend: BackendWasm, matrices: Matrices, transposed: boolean) {
    this.#backend = backend;
    this.#matrices = matrices;
    this.#scratch = transposed ? backend.makeOutput([matrices.cols, matrices.rows], 'float32') : undefined;
  }

  address(product: number): number {
    const { count, rows, cols, address } = this.#matrices;
    // One matrix for all products, or one for each.
    const index = count === 1 ? 0 : product;
    const at = address + index * rows * cols * Float32Array.BYTES_PER_ELEMENT;
    if (this.#scratch === undefined) return at;
    const copy = addressOf(this.#backend, this.#scratch);
    if (index !== this.#copied) kernelsOf(this.#backend).transpose(at, copy, rows, cols);
    this.#copied = index;
    return copy;
  }

  release(): void {
    if (this.#scratch !== undefined) this.#backend.disposeData(this.#scratch.dataId);
  }
}

function matricesOf(backend: BackendWasm, tensor: TensorInfo): Matrices {
  const [rows, cols] = tensor.shape.slice(-2) as [number, number];
  return {
    count: tensor.shape.slice(0, -2).reduce((count, size) => count * size, 1),
    rows,
    cols,
    address: addressOf(backend, tensor),
  };
}
