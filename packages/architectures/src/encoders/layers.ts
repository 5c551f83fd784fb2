import { productOf } from '../dimensions.ts';
import type { Dimension, Operations } from '../operations.ts';
import type { EncoderInputs, WeightLookup } from './network.ts';

/** Added to the attention scores of padding; its exponential is 0. */
const maskedScore = -10_000;

/** Sizes and rates of multi-head attention. */
export interface AttentionSizes {
  readonly heads: number;
  readonly headSize: number;
  /** Rate of the dropout of attention probabilities. */
  readonly dropout: number;
}

/**
 * What the layers of a transformer share while they compute one batch. Between layers, tokens are rows of a matrix: one
 * for each position, or, packed, one for each real token.
 */
export class TransformerLayers<T> {
  readonly ops: Operations<T>;
  readonly batch: Dimension;
  readonly length: Dimension;
  readonly #weight: WeightLookup<T>;
  readonly #inputs: EncoderInputs<T>;

  constructor(ops: Operations<T>, weight: WeightLookup<T>, inputs: EncoderInputs<T>) {
    this.ops = ops;
    this.#weight = weight;
    this.#inputs = inputs;
    const [batch, length] = ops.shape(inputs.ids);
    this.batch = batch!;
    this.length = length!;
  }

  weight(name: string): T {
    return this.#weight(name);
  }

  /** One entry for each row of what has one for each position: `[batch, length]` or anything that broadcasts to it. */
  perRow(positions: T): T {
    const all = this.ops.broadcastTo(positions, [this.batch, this.length]);
    return this.#pack(this.ops.reshape(all, [productOf([this.batch, this.length])]));
  }

  /** The token table's row of each token. */
  tokenRows(table: string): T {
    return this.#inputs.tokenRows ?? this.ops.gather(this.weight(table), this.perRow(this.#inputs.ids));
  }

  linear(name: string, x: T): T {
    return this.ops.linear(x, this.weight(`${name}.weight`), this.weight(`${name}.bias`));
  }

  layerNorm(name: string, x: T, epsilon: number): T {
    return this.ops.layerNorm(x, this.weight(`${name}.weight`), this.weight(`${name}.bias`), epsilon).output;
  }

  dropout(x: T, rate: number): T {
    return rate === 0 ? x : (this.#inputs.dropout?.(x, rate) ?? x);
  }

  /** What keeps padding out of attention: `[batch, 1, 1, length]`, to be added to the scores. */
  maskBias(): T {
    const real = this.ops.toFloat(this.ops.reshape(this.#inputs.mask, [this.batch, 1, 1, this.length]));
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

  /** Rows as `encode` returns them. */
  result(rows: T): T {
    const width = this.ops.shape(rows).at(-1)!;
    return this.#inputs.rows === undefined ? this.ops.reshape(rows, [this.batch, this.length, width]) : rows;
  }

  /** `[batch, heads, length, headSize]` */
  #splitHeads(rows: T, heads: number, headSize: number): T {
    const positions = this.#unpack(rows);
    return this.ops.transpose(this.ops.reshape(positions, [this.batch, this.length, heads, headSize]), [0, 2, 1, 3]);
  }

  #pack(positions: T): T {
    const { rows } = this.#inputs;
    return rows === undefined ? positions : this.ops.gather(positions, rows, { distinct: true });
  }

  #unpack(packed: T): T {
    const { rows } = this.#inputs;
    return rows === undefined
      ? packed
      : this.ops.scatterAdd(packed, rows, productOf([this.batch, this.length]), { distinct: true });
  }
}
