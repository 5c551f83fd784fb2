// The memory that the kernels work in: the weights of linear layers stay in it, everything else is copied in and out.
import { type GrowableMemory, kernelMemory, type LayerKernels, layerKernels } from '@sentvec/kernels';

const pageBytes = 65_536;
const floatBytes = Float32Array.BYTES_PER_ELEMENT;

/** Floats for the operands of one call. A product of more rows is computed in blocks of rows. */
const scratchFloats = 2 ** 20;

/** Sizes of a batch of matrix products [rows, inner] · [inner, cols]. */
export interface ProductSizes {
  readonly count: number;
  readonly rows: number;
  readonly cols: number;
  readonly inner: number;
  /** Whether the right operand is given as [cols, inner]. */
  readonly transposeRight: boolean;
}

/** Kernels, and the memory that they work in. Addresses are in bytes. */
export class KernelSpace {
  readonly #memory: GrowableMemory;
  readonly #kernels: LayerKernels;
  /** Where the scratch area begins, and its size. */
  #scratch: { readonly address: number; readonly length: number };
  /** The first free byte after everything. */
  #end = 0;
  /** Arrays that stay, and where those are that have been used. */
  readonly #kept = new WeakMap<Float32Array, number | undefined>();

  constructor() {
    this.#memory = kernelMemory(scratchFloats * floatBytes);
    this.#kernels = layerKernels(this.#memory);
    this.#scratch = { address: this.#allocate(scratchFloats), length: scratchFloats };
  }

  /** Says that an array does not change: it is copied into the memory once, when a linear layer uses it. */
  keep(data: Float32Array): void {
    this.#kept.set(data, undefined);
  }

  /** x · weightᵀ + bias: `x` is [rows, inner], `weight` [cols, inner]. */
  linear(
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array | undefined,
    { cols, inner }: { readonly cols: number; readonly inner: number },
  ): Float32Array {
    const rows = x.length / inner;
    const result = new Float32Array(rows * cols);
    const block = Math.max(1, Math.min(rows, Math.floor(scratchFloats / (inner + cols))));
    const [keptWeight, keptBias] = [this.#addressOf(weight), bias && this.#addressOf(bias)];
    const [xAt, resultAt, ownWeight, ownBias] = this.#areas(
      block * inner,
      block * cols,
      keptWeight === undefined ? weight.length : 0,
      bias !== undefined && keptBias === undefined ? bias.length : 0,
    );
    const weightAt = keptWeight ?? this.#write(weight, ownWeight);
    const biasAt = bias === undefined ? 0 : (keptBias ?? this.#write(bias, ownBias));
    for (let row = 0; row < rows; row += block) {
      const count = Math.min(block, rows - row);
      this.#write(x.subarray(row * inner, (row + count) * inner), xAt);
      this.#kernels.matrixProduct(xAt, weightAt, resultAt, biasAt, count, cols, inner);
      result.set(this.#view(resultAt, count * cols), row * cols);
    }
    return result;
  }

  /** Products of `count` pairs of matrices, one after the other. */
  products(a: Float32Array, b: Float32Array, { count, rows, cols, inner, transposeRight }: ProductSizes): Float32Array {
    const result = new Float32Array(count * rows * cols);
    const [aAt, bAt, turnedAt, resultAt] = this.#areas(rows * inner, cols * inner, cols * inner, rows * cols);
    for (let index = 0; index < count; index += 1) {
      this.#write(a.subarray(index * rows * inner, (index + 1) * rows * inner), aAt);
      this.#write(b.subarray(index * cols * inner, (index + 1) * cols * inner), bAt);
      if (!transposeRight) this.#kernels.transpose(bAt, turnedAt, inner, cols);
      this.#kernels.matrixProduct(aAt, transposeRight ? bAt : turnedAt, resultAt, 0, rows, cols, inner);
      result.set(this.#view(resultAt, rows * cols), index * rows * cols);
    }
    return result;
  }

  /** GELU of each entry. */
  gelu(x: Float32Array): Float32Array {
    const result = new Float32Array(x.length);
    const block = Math.min(x.length, scratchFloats / 2);
    const [xAt, resultAt] = this.#areas(block, block);
    for (let start = 0; start < x.length; start += block) {
      const count = Math.min(block, x.length - start);
      this.#write(x.subarray(start, start + count), xAt);
      this.#kernels.gelu(xAt, resultAt, count);
      result.set(this.#view(resultAt, count), start);
    }
    return result;
  }

  /** The address of an array that stays, which is copied at its first use; `undefined` of another. */
  #addressOf(data: Float32Array): number | undefined {
    if (!this.#kept.has(data)) return undefined;
    const address = this.#kept.get(data) ?? this.#write(data, this.#allocate(data.length));
    this.#kept.set(data, address);
    return address;
  }

  /** Addresses in the scratch area for arrays of these lengths. Valid until the next call. */
  #areas<Lengths extends readonly number[]>(...lengths: Lengths): { [place in keyof Lengths]: number } {
    const sizes = lengths.map((length) => Math.ceil(length / 4) * 4);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    if (total > this.#scratch.length) this.#scratch = { address: this.#allocate(total), length: total };
    let at = this.#scratch.address;
    return sizes.map((size) => {
      const address = at;
      at += size * floatBytes;
      return address;
    }) as { [place in keyof Lengths]: number };
  }

  /** Memory for so many floats, which is never freed: it ends with the space. */
  #allocate(length: number): number {
    const address = this.#end;
    this.#end += Math.ceil(length / 4) * 4 * floatBytes;
    const missing = this.#end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / pageBytes));
    return address;
  }

  #view(address: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, length);
  }

  /** @returns the address */
  #write(data: Float32Array, address: number): number {
    this.#view(address, data.length).set(data);
    return address;
  }
}
