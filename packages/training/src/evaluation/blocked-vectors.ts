// Multiplies many vectors with a few others (class weights, cluster centres) in WebAssembly, without blocking the event
// loop.
import { layerKernels, type LayerKernels } from '@sentvec/kernels';
import { yieldToEventLoop } from '@sentvec/platform';
import type { Matrix } from '@sentvec/core';

/** Scalar multiplications of one block: they take a few milliseconds. */
const productsOfBlock = 2 ** 25;
const pageBytes = 65_536;

/**
 * Vectors in a WebAssembly memory. They are multiplied with a few others block by block; between blocks, `multiply`
 * yields to the event loop.
 */
export class BlockedVectors {
  readonly rows: number;
  readonly cols: number;
  readonly #others: number;
  readonly #rowsOfBlock: number;
  readonly #kernels: LayerKernels;
  /** Byte offsets of the buffers in the memory. */
  readonly #at: { readonly [Name in 'others' | 'bias' | 'products' | 'transposed' | 'block' | 'sums']: number };
  readonly #memory: Float32Array;

  /** @param others the number of vectors that `multiply` gets */
  constructor({ data, rows, cols }: Matrix, others: number) {
    this.rows = rows;
    this.cols = cols;
    this.#others = others;
    this.#rowsOfBlock = Math.max(1, Math.min(rows, Math.ceil(productsOfBlock / (others * cols))));
    let end = 0;
    const reserve = (entries: number): number => {
      const start = end;
      end += Math.ceil(entries / 4) * 16;
      return start;
    };
    reserve(data.length);
    this.#at = {
      others: reserve(others * cols),
      bias: reserve(others),
      products: reserve(this.#rowsOfBlock * others),
      transposed: reserve(this.#rowsOfBlock * others),
      block: reserve(this.#rowsOfBlock * cols),
      sums: reserve(others * cols),
    };
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / pageBytes) + 1 });
    this.#memory = new Float32Array(memory.buffer);
    this.#memory.set(data);
    this.#kernels = layerKernels(memory);
  }

  /**
   * Multiplies all vectors with the others.
   * @param others `[others, cols]`, row-major
   * @param bias `[others]`, added to the products
   * @param visit called for each block with its products (`[rows, others]`, a view) and the index of its first vector
   * @param sums `[others, cols]`. If given, productsᵀ · vectors is added to it, after `visit` may have changed the
   * products
   */
  async multiply(
    others: ArrayLike<number>,
    bias: ArrayLike<number>,
    visit: (products: Float32Array, first: number, rows: number) => void,
    sums?: Float64Array,
  ): Promise<void> {
    const at = this.#at;
    const [count, cols] = [this.#others, this.cols];
    this.#memory.set(others, at.others / 4);
    this.#memory.set(bias, at.bias / 4);
    for (let first = 0; first < this.rows; first += this.#rowsOfBlock) {
      await yieldToEventLoop();
      const rows = Math.min(this.#rowsOfBlock, this.rows - first);
      const block = first * cols * 4;
      this.#kernels.matrixProduct(block, at.others, at.products, at.bias, rows, count, cols);
      visit(this.#memory.subarray(at.products / 4, at.products / 4 + rows * count), first, rows);
      if (sums === undefined) continue;
      this.#kernels.transpose(at.products, at.transposed, rows, count);
      this.#kernels.transpose(block, at.block, rows, cols);
      this.#kernels.matrixProduct(at.transposed, at.block, at.sums, 0, count, cols, rows);
      for (let i = 0; i < sums.length; i++) sums[i]! += this.#memory[at.sums / 4 + i]!;
    }
  }
}
