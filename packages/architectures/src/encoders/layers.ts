// The layers with which architectures are written: linear layers, normalizations, embeddings and attention.
import { productOf } from '../dimensions.ts';
import type { Dimension, Operations } from '../operations.ts';
import { Attention, type AttentionInputs, type AttentionSizes } from './attention.ts';
import type { EncoderInputs } from './network.ts';

/** Whether a layer has a bias. */
interface BiasOptions {
  /** @default true */
  readonly bias?: boolean | undefined;
}

/** The name of a weight, or a list of that name and other names in files: older names, or names of a tied weight. */
export type WeightName = string | readonly [name: string, ...others: string[]];

/** The operations, inputs and weights of the layers. */
interface LayerSources<T> {
  readonly tokenTable: WeightName;
  readonly vocabularySize: number;
  readonly ops: Operations<T>;
  readonly inputs: EncoderInputs<T>;
  weight(names: WeightName, shape: readonly number[], fixed: boolean): T;
  constant(name: string, shape: readonly number[], compute: () => Float32Array): T;
}

/**
 * The layers of a transformer for one batch. Between layers, hidden states are a matrix with one row for each position
 * or, if the batch is packed, for each token without padding. Weights have the layout of PyTorch.
 */
export class TransformerLayers<T> {
  readonly ops: Operations<T>;
  readonly batch: Dimension;
  readonly length: Dimension;
  /** Token ids: indices `[batch, length]`. */
  readonly ids: T;
  readonly #sources: LayerSources<T>;
  readonly #attention: Attention<T>;

  constructor(sources: LayerSources<T>) {
    this.#sources = sources;
    this.ops = sources.ops;
    this.ids = sources.inputs.ids;
    const [batch, length] = this.ops.shape(this.ids);
    this.batch = batch!;
    this.length = length!;
    this.#attention = new Attention({
      ops: this.ops,
      batch: this.batch,
      length: this.length,
      mask: () => this.mask(),
      dropout: (x, rate) => this.dropout(x, rate),
    });
  }

  /** A weight. A model whose file has it in another shape is refused. */
  weight(names: WeightName, shape: readonly number[]): T {
    return this.#sources.weight(names, shape, false);
  }

  /** A weight that training does not change, such as a table of sines that is stored in the file. */
  fixedWeight(names: WeightName, shape: readonly number[]): T {
    return this.#sources.weight(names, shape, true);
  }

  /**
   * Numbers that are computed from the configuration, such as a table of sines. They are computed with the first batch
   * and kept under `name`.
   */
  constant(name: string, shape: readonly number[], compute: () => Float32Array): T {
    return this.#sources.constant(name, shape, compute);
  }

  /** Selects the entries of the rows from values by position; `positions` broadcasts to `[batch, length]`. */
  perRow(positions: T): T {
    const all = this.ops.broadcastTo(positions, [this.batch, this.length]);
    return this.#pack(this.ops.reshape(all, [productOf([this.batch, this.length])]));
  }

  /** The token type of each row as an index; `undefined` if all tokens have type 0. */
  rowTypes(): T | undefined {
    const { types } = this.#sources.inputs;
    return types && this.perRow(types);
  }

  /** The token type of each position: floats of shape `[batch, length]`, 0 if the inputs have no types. */
  types(): T {
    const { types, mask } = this.#sources.inputs;
    return types === undefined ? this.ops.multiply(this.ops.toFloat(mask), 0) : this.ops.toFloat(types);
  }

  /** The position of each row as an index, counted from 0. */
  rowPositions(): T {
    return this.perRow(this.ops.range(this.length));
  }

  /** The embedding of each row's token: `[rows, width]`. */
  tokenRows(width: number): T {
    const { tokenTable, vocabularySize, inputs } = this.#sources;
    return inputs.tokenRows ?? this.ops.gather(this.weight(tokenTable, [vocabularySize, width]), this.perRow(this.ids));
  }

  /** A linear layer with `outputs` outputs. Its weights are `name.weight` and `name.bias`. */
  linear(name: string, x: T, outputs: number, { bias = true }: BiasOptions = {}): T {
    const weight = this.weight(`${name}.weight`, [outputs, this.#width(x)]);
    return this.ops.linear(x, weight, bias ? this.weight(`${name}.bias`, [outputs]) : undefined);
  }

  /**
   * A linear layer whose outputs are split into parts of `outputs` entries, such as queries, keys and values. Its
   * weights are `name.weight`, `[parts · outputs, inputs]`, and `name.bias`.
   */
  linearParts(name: string, x: T, parts: 2, outputs: number, options?: BiasOptions): [T, T];
  linearParts(name: string, x: T, parts: 3, outputs: number, options?: BiasOptions): [T, T, T];
  linearParts(name: string, x: T, parts: number, outputs: number, options: BiasOptions = {}): T[] {
    const all = this.linear(name, x, parts * outputs, options);
    return Array.from({ length: parts }, (_, part) => this.ops.slice(all, -1, part * outputs, outputs));
  }

  /**
   * A layer normalization. Its weights are `name.weight` and `name.bias`; in files that were converted from TensorFlow
   * they are called gamma and beta.
   */
  layerNorm(name: string, x: T, epsilon: number, { bias = true }: BiasOptions = {}): T {
    const width = this.#width(x);
    const weight = this.weight([`${name}.weight`, `${name}.gamma`], [width]);
    const shift = bias ? this.weight([`${name}.bias`, `${name}.beta`], [width]) : undefined;
    return this.ops.layerNorm(x, weight, shift, epsilon).output;
  }

  /** An RMS normalization with the weight `name.weight`. With `lessOne`, the file contains the weight minus 1. */
  rmsNorm(name: string, x: T, epsilon: number, { lessOne = false }: { readonly lessOne?: boolean } = {}): T {
    const weight = this.weight(`${name}.weight`, [this.#width(x)]);
    return this.ops.rmsNorm(x, lessOne ? this.ops.add(weight, 1) : weight, epsilon);
  }

  dropout(x: T, rate: number): T {
    return rate === 0 ? x : (this.#sources.inputs.dropout?.(x, rate) ?? x);
  }

  /** 1 for tokens, 0 for padding: floats of shape `[batch, length]`. */
  mask(): T {
    return this.ops.toFloat(this.#sources.inputs.mask);
  }

  /**
   * Computes softmax(scale · queries · keysᵀ + biases) · values for each head (Vaswani et al., 2017). Queries and the
   * result are `[rows, heads · headSize]`, keys and values `[rows, keyHeads · headSize]`.
   */
  attention(queries: T, keys: T, values: T, sizes: AttentionSizes, inputs: AttentionInputs<T> = {}): T {
    const { ops, batch, length } = this;
    const { heads, headSize, keyHeads = heads } = sizes;
    const { rotation } = inputs;
    const rotate = (x: T): T => (rotation === undefined ? x : ops.rotate(x, rotation.cosines, rotation.sines));
    const q = rotate(this.splitHeads(queries, heads, headSize));
    const k = rotate(this.splitHeads(keys, keyHeads, headSize));
    const v = this.splitHeads(values, keyHeads, headSize);
    const mixed = this.#attention.attend(q, k, v, sizes, inputs);
    const rows = [productOf([batch, length]), heads * headSize];
    return this.#pack(ops.reshape(ops.transpose(mixed, [0, 2, 1, 3]), rows));
  }

  /** Arranges rows by position: `[batch, length, width]`. The values at padding are undefined. */
  positions(rows: T): T {
    return this.ops.reshape(this.#unpack(rows), [this.batch, this.length, this.#width(rows)]);
  }

  /** The inverse of {@link positions}. */
  rows(positions: T): T {
    const flat = [productOf([this.batch, this.length]), this.#width(positions)];
    return this.#pack(this.ops.reshape(positions, flat));
  }

  /** Splits rows into heads: `[batch, heads, length, headSize]`. The values at padding are undefined. */
  splitHeads(rows: T, heads: number, headSize: number): T {
    const positions = this.#unpack(rows);
    return this.ops.transpose(this.ops.reshape(positions, [this.batch, this.length, heads, headSize]), [0, 2, 1, 3]);
  }

  /** Reports the input of a layer to `onLayer`. Architectures call it before each layer. */
  beginLayer(input: T): void {
    this.#sources.inputs.onLayer?.(input);
  }

  /** The rows in the shape that `EncoderNetwork.encode` returns. */
  result(rows: T): T {
    return this.#sources.inputs.rows === undefined
      ? this.ops.reshape(rows, [this.batch, this.length, this.#width(rows)])
      : rows;
  }

  #width(rows: T): number {
    return Number(this.ops.shape(rows).at(-1));
  }

  #pack(positions: T): T {
    const { rows } = this.#sources.inputs;
    return rows === undefined ? positions : this.ops.gather(positions, rows, { distinct: true });
  }

  #unpack(packed: T): T {
    const { rows } = this.#sources.inputs;
    return rows === undefined
      ? packed
      : this.ops.scatterAdd(packed, rows, productOf([this.batch, this.length]), { distinct: true });
  }
}
