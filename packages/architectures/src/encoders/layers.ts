// The layers that transformers have in common, over the tensor operations: what an architecture is written with.
import { productOf } from '../dimensions.ts';
import type { Dimension, Operations } from '../operations.ts';
import type { EncoderInputs } from './network.ts';

/** Added to the attention scores of padding; its exponential is 0. */
const maskedScore = -10_000;

/** Sizes and rates of multi-head attention. */
export interface AttentionSizes {
  readonly heads: number;
  readonly headSize: number;
  /** Rate of the dropout of attention probabilities. */
  readonly dropout: number;
}

/** The name of a weight; in a list, followed by other names that files have for it: older ones, or of a tied weight. */
export type WeightName = string | readonly [name: string, ...others: string[]];

/** What layers compute with. */
interface LayerSources<T> {
  readonly tokenTable: WeightName;
  readonly vocabularySize: number;
  readonly ops: Operations<T>;
  readonly inputs: EncoderInputs<T>;
  weight(names: WeightName, shape: readonly number[]): T;
  constant(name: string, shape: readonly number[], compute: () => Float32Array): T;
}

/**
 * What the layers of a transformer share while they compute one batch. Between layers, tokens are rows of a matrix: one
 * for each position, or, packed, one for each real token. Weights are stored as PyTorch stores them.
 */
export class TransformerLayers<T> {
  readonly ops: Operations<T>;
  readonly batch: Dimension;
  readonly length: Dimension;
  /** Token ids: indices `[batch, length]`. */
  readonly ids: T;
  readonly #sources: LayerSources<T>;

  constructor(sources: LayerSources<T>) {
    this.#sources = sources;
    this.ops = sources.ops;
    this.ids = sources.inputs.ids;
    const [batch, length] = this.ops.shape(this.ids);
    this.batch = batch!;
    this.length = length!;
  }

  /** A weight. A model file that has it in another shape is refused. */
  weight(names: WeightName, shape: readonly number[]): T {
    return this.#sources.weight(names, shape);
  }

  /**
   * Numbers that follow from the configuration, such as a table of sines, under a name of their own: computed once, when
   * the first batch is.
   */
  constant(name: string, shape: readonly number[], compute: () => Float32Array): T {
    return this.#sources.constant(name, shape, compute);
  }

  /** One entry for each row of what has one for each position: `[batch, length]` or anything that broadcasts to it. */
  perRow(positions: T): T {
    const all = this.ops.broadcastTo(positions, [this.batch, this.length]);
    return this.#pack(this.ops.reshape(all, [productOf([this.batch, this.length])]));
  }

  /** The row of each token in the token table, which is `width` wide. */
  tokenRows(width: number): T {
    const { tokenTable, vocabularySize, inputs } = this.#sources;
    return inputs.tokenRows ?? this.ops.gather(this.weight(tokenTable, [vocabularySize, width]), this.perRow(this.ids));
  }

  /** A linear layer with bias, from the width of `x` to `outputs`: weights `name.weight`, `name.bias`. */
  linear(name: string, x: T, outputs: number): T {
    return this.ops.linear(
      x,
      this.weight(`${name}.weight`, [outputs, this.#width(x)]),
      this.weight(`${name}.bias`, [outputs]),
    );
  }

  /**
   * A layer normalization: weights `name.weight`, `name.bias`, which files converted from TensorFlow call gamma and
   * beta.
   */
  layerNorm(name: string, x: T, epsilon: number): T {
    const width = this.#width(x);
    const weight = this.weight([`${name}.weight`, `${name}.gamma`], [width]);
    const bias = this.weight([`${name}.bias`, `${name}.beta`], [width]);
    return this.ops.layerNorm(x, weight, bias, epsilon).output;
  }

  dropout(x: T, rate: number): T {
    return rate === 0 ? x : (this.#sources.inputs.dropout?.(x, rate) ?? x);
  }

  /** What keeps padding out of attention: `[batch, 1, 1, length]`, to be added to the scores. */
  maskBias(): T {
    const real = this.ops.toFloat(this.ops.reshape(this.#sources.inputs.mask, [this.batch, 1, 1, this.length]));
    return this.ops.multiply(this.ops.subtract(1, real), maskedScore);
  }

  /**
   * softmax(queries · keysᵀ / √headSize + bias) · values for each head (Vaswani et al., 2017). The operands are rows of
   * width heads · headSize, as is the result. `bias` broadcasts to `[batch, heads, length, length]`.
   */
  attention(queries: T, keys: T, values: T, bias: T, { heads, headSize, dropout }: AttentionSizes): T {
    const { ops } = this;
    const [q, k, v] = [queries, keys, values].map((rows) => this.#splitHeads(rows, heads, headSize)) as [T, T, T];
    const scores = ops.multiply(ops.matmul(q, k, { transposeRight: true }), 1 / Math.sqrt(headSize));
    const probabilities = this.dropout(ops.softmax(ops.add(scores, bias)), dropout);
    const mixed = ops.transpose(ops.matmul(probabilities, v), [0, 2, 1, 3]);
    return this.#pack(ops.reshape(mixed, [productOf([this.batch, this.length]), heads * headSize]));
  }

  /** Rows in the shape that `EncoderNetwork.encode` returns. */
  result(rows: T): T {
    return this.#sources.inputs.rows === undefined
      ? this.ops.reshape(rows, [this.batch, this.length, this.#width(rows)])
      : rows;
  }

  #width(rows: T): number {
    return Number(this.ops.shape(rows).at(-1));
  }

  /** `[batch, heads, length, headSize]` */
  #splitHeads(rows: T, heads: number, headSize: number): T {
    const positions = this.#unpack(rows);
    return this.ops.transpose(this.ops.reshape(positions, [this.batch, this.length, heads, headSize]), [0, 2, 1, 3]);
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
