// The layers that transformers have in common, over the tensor operations: what an architecture is written with.
import { absolute, attentionBlock } from '../derived-operations.ts';
import { productOf, sumOf } from '../dimensions.ts';
import type { Block, Dimension, Operations } from '../operations.ts';
import type { EncoderInputs } from './network.ts';

/**
 * Added to the attention scores of tokens that are not attended to; its exponential is 0, however large scores are. Not
 * infinite: a row without any token would give no numbers.
 */
const maskedScore = -1e9;

/**
 * Up to this many tokens, attention computes the scores of all pairs of tokens at once: they stay in the cache. Beyond,
 * it computes them for one block of queries after the other, so that memory grows with the length and not with its
 * square.
 */
const longestWhole = 512;

/** Sizes and rates of multi-head attention, and which tokens attend to which: those of padding are never attended to. */
export interface AttentionSizes {
  readonly heads: number;
  readonly headSize: number;
  /**
   * Heads of keys and values, each for as many heads of queries as follow each other (Ainslie et al., 2023).
   * @default heads
   */
  readonly keyHeads?: number | undefined;
  /** Rate of the dropout of attention probabilities. */
  readonly dropout: number;
  /**
   * Factor of the scalar products.
   * @default 1 / sqrt(headSize)
   */
  readonly scale?: number | undefined;
  /**
   * Whether tokens attend to themselves and to those before them only.
   * @default false
   */
  readonly causal?: boolean | undefined;
  /**
   * The largest distance, in positions, between a token and a token that it attends to.
   * @default no limit
   */
  readonly window?: number | undefined;
}

/** Cosines and sines of the angles by which queries and keys are turned: `[length, headSize / 2]`. */
export interface Rotation<T> {
  readonly cosines: T;
  readonly sines: T;
}

/** The inputs of attention besides queries, keys and values. */
export interface AttentionInputs<T> {
  /** Turns queries and keys by their positions. */
  readonly rotation?: Rotation<T> | undefined;
  /** Added to the scaled scores of a block of queries: `[batch, heads, queries of the block, keys that it looks at]`. */
  readonly bias?: ((block: Block) => T) | undefined;
  /**
   * Added to the scaled scores by distance: `[heads, 2 · length]`. Column c counts where the key is c - length positions
   * after the query.
   */
  readonly distanceBias?: T | undefined;
}

/** Whether a layer has a bias. */
interface BiasOptions {
  /** @default true */
  readonly bias?: boolean | undefined;
}

/** The name of a weight; in a list, followed by other names that files have for it: older ones, or of a tied weight. */
export type WeightName = string | readonly [name: string, ...others: string[]];

/** Where layers get their operations, inputs and weights from. */
interface LayerSources<T> {
  readonly tokenTable: WeightName;
  readonly vocabularySize: number;
  readonly ops: Operations<T>;
  readonly inputs: EncoderInputs<T>;
  weight(names: WeightName, shape: readonly number[], fixed: boolean): T;
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
  /** What all layers add to their attention scores, computed once a batch. The key says what a tensor depends on. */
  readonly #scoreBiases = new Map<unknown, T>();
  /** Added to the scores of each key: `[batch, 1, 1, length]`. */
  #keyBias: T | undefined;

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
    return this.#sources.weight(names, shape, false);
  }

  /** A weight that training does not change: a table that is computed, not learned, although files hold it. */
  fixedWeight(names: WeightName, shape: readonly number[]): T {
    return this.#sources.weight(names, shape, true);
  }

  /**
   * Numbers that follow from the configuration, such as a table of sines, under a name of their own. They are computed
   * once, with the first batch.
   */
  constant(name: string, shape: readonly number[], compute: () => Float32Array): T {
    return this.#sources.constant(name, shape, compute);
  }

  /** One entry for each row, from one entry for each position: `positions` broadcasts to `[batch, length]`. */
  perRow(positions: T): T {
    const all = this.ops.broadcastTo(positions, [this.batch, this.length]);
    return this.#pack(this.ops.reshape(all, [productOf([this.batch, this.length])]));
  }

  /** The token type of each row: indices. `undefined`: all tokens have type 0. */
  rowTypes(): T | undefined {
    const { types } = this.#sources.inputs;
    return types && this.perRow(types);
  }

  /** The position of each row, counted from 0: indices. */
  rowPositions(): T {
    return this.perRow(this.ops.range(this.length));
  }

  /** The row of each token in the token table, which is `width` wide. */
  tokenRows(width: number): T {
    const { tokenTable, vocabularySize, inputs } = this.#sources;
    return inputs.tokenRows ?? this.ops.gather(this.weight(tokenTable, [vocabularySize, width]), this.perRow(this.ids));
  }

  /** A linear layer, from the width of `x` to `outputs`: weights `name.weight`, `name.bias`. */
  linear(name: string, x: T, outputs: number, { bias = true }: BiasOptions = {}): T {
    const weight = this.weight(`${name}.weight`, [outputs, this.#width(x)]);
    return this.ops.linear(x, weight, bias ? this.weight(`${name}.bias`, [outputs]) : undefined);
  }

  /**
   * A linear layer whose outputs are cut into parts of equal width, such as queries, keys and values: weights
   * `name.weight`, `[parts · outputs, in]`, and `name.bias`.
   */
  linearParts(name: string, x: T, parts: 2, outputs: number, options?: BiasOptions): [T, T];
  linearParts(name: string, x: T, parts: 3, outputs: number, options?: BiasOptions): [T, T, T];
  linearParts(name: string, x: T, parts: number, outputs: number, options: BiasOptions = {}): T[] {
    const all = this.linear(name, x, parts * outputs, options);
    return Array.from({ length: parts }, (_, part) => this.ops.slice(all, -1, part * outputs, outputs));
  }

  /**
   * A layer normalization: weights `name.weight`, `name.bias`, which files converted from TensorFlow call gamma and
   * beta.
   */
  layerNorm(name: string, x: T, epsilon: number, { bias = true }: BiasOptions = {}): T {
    const width = this.#width(x);
    const weight = this.weight([`${name}.weight`, `${name}.gamma`], [width]);
    const shift = bias ? this.weight([`${name}.bias`, `${name}.beta`], [width]) : undefined;
    return this.ops.layerNorm(x, weight, shift, epsilon).output;
  }

  /** A normalization by the root of the mean square: weight `name.weight`, which some files hold less one. */
  rmsNorm(name: string, x: T, epsilon: number, { lessOne = false }: { readonly lessOne?: boolean } = {}): T {
    const weight = this.weight(`${name}.weight`, [this.#width(x)]);
    return this.ops.rmsNorm(x, lessOne ? this.ops.add(weight, 1) : weight, epsilon);
  }

  dropout(x: T, rate: number): T {
    return rate === 0 ? x : (this.#sources.inputs.dropout?.(x, rate) ?? x);
  }

  /** 1 for a real token, 0 for padding: floats `[batch, length]`. */
  mask(): T {
    return this.ops.toFloat(this.#sources.inputs.mask);
  }

  /**
   * softmax(scale · queries · keysᵀ + biases) · values for each head (Vaswani et al., 2017). Queries are rows of width
   * heads · headSize, as is the result; keys and values of keyHeads · headSize.
   */
  attention(queries: T, keys: T, values: T, sizes: AttentionSizes, inputs: AttentionInputs<T> = {}): T {
    const { ops, batch, length } = this;
    const { heads, headSize, keyHeads = heads } = sizes;
    const { rotation } = inputs;
    const turn = (x: T): T => (rotation === undefined ? x : ops.rotate(x, rotation.cosines, rotation.sines));
    const q = turn(this.splitHeads(queries, heads, headSize));
    const k = turn(this.splitHeads(keys, keyHeads, headSize));
    const v = this.splitHeads(values, keyHeads, headSize);
    const keyBias = (this.#keyBias ??= this.#biasOfKeys());
    const biases = this.#biasesOfAllPairs(sizes, inputs, keyBias);
    const mixed = ops.ifLonger(
      length,
      longestWhole,
      () => this.#attentionInBlocks(q, k, v, keyBias, sizes, inputs),
      () => this.#attentionAtOnce(q, k, v, biases, sizes, inputs),
    );
    const rows = [productOf([batch, length]), heads * headSize];
    return this.#pack(ops.reshape(ops.transpose(mixed, [0, 2, 1, 3]), rows));
  }

  /** Rows by their positions, `[batch, length, width]`: for what mixes neighbours. Those of padding are arbitrary. */
  positions(rows: T): T {
    return this.ops.reshape(this.#unpack(rows), [this.batch, this.length, this.#width(rows)]);
  }

  /** The inverse of {@link positions}. */
  rows(positions: T): T {
    const flat = [productOf([this.batch, this.length]), this.#width(positions)];
    return this.#pack(this.ops.reshape(positions, flat));
  }

  /** How many positions a key may be after a query: -length to length - 1. */
  distances(): T {
    const { ops, length } = this;
    return ops.subtract(ops.toFloat(ops.range(productOf([2, length]))), ops.size(length));
  }

  /**
   * What belongs to a query of a block and a key that it looks at, `[n, queries, keys]`, from what belongs to a query and
   * a distance, `[n, queries, queries + keys]`: the columns of {@link distancesIn}. Read in rows that are one shorter,
   * the distances of a row begin one column earlier than those of the row before.
   */
  pairsOfDistances(x: T, { size, length }: Pick<Block, 'size' | 'length'>): T {
    const { ops } = this;
    const [count, , columns] = ops.shape(x) as [Dimension, Dimension, Dimension];
    const shorter = sumOf([columns, -1]);
    const flat = ops.reshape(x, [count, productOf([size, columns])]);
    const fromFirst = ops.slice(flat, 1, size, productOf([size, shorter]));
    return ops.slice(ops.reshape(fromFirst, [count, size, shorter]), 2, 0, length);
  }

  /**
   * The distances of keys from queries that occur in a block, and one below them, of what has one entry along `axis` for
   * each distance from -length to length - 1.
   */
  distancesIn(x: T, axis: number, { start, size, from, length }: Block): T {
    const first = sumOf([this.length, from, productOf([-1, start]), productOf([-1, size])]);
    return this.ops.slice(x, axis, first, sumOf([size, length]));
  }

  /** Rows by heads: `[batch, heads, length, headSize]`. Those of padding are arbitrary. */
  splitHeads(rows: T, heads: number, headSize: number): T {
    const positions = this.#unpack(rows);
    return this.ops.transpose(this.ops.reshape(positions, [this.batch, this.length, heads, headSize]), [0, 2, 1, 3]);
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

  /** Attention over the scores of all pairs of tokens. */
  #attentionAtOnce(
    q: T,
    k: T,
    v: T,
    biases: readonly T[],
    { heads, headSize, keyHeads = heads, dropout, scale = 1 / Math.sqrt(headSize) }: AttentionSizes,
    { bias }: AttentionInputs<T>,
  ): T {
    const { ops, batch, length } = this;
    // Queries that share keys become more rows of one product, so keys and values are not repeated.
    const shared = [batch, keyHeads, productOf([heads / keyHeads, length])] as const;
    const rows = ops.reshape(q, [...shared, headSize]);
    const products = ops.reshape(ops.matmul(rows, k, { transposeRight: true }), [batch, heads, length, length]);
    const all = [...(bias === undefined ? [] : [bias(this.#allPairs())]), ...biases];
    const scores = all.reduce((sum, each) => ops.add(sum, each), ops.multiply(products, scale));
    const probabilities = ops.reshape(this.dropout(ops.softmax(scores), dropout), [...shared, length]);
    return ops.reshape(ops.matmul(probabilities, v), [batch, heads, length, headSize]);
  }

  /**
   * The same for one block of queries after the other, each with the keys that it may attend to. Queries get one more
   * entry, 1, and keys one that hides those of padding: the products then are the scores.
   */
  #attentionInBlocks(
    q: T,
    k: T,
    v: T,
    keyBias: T,
    sizes: AttentionSizes,
    { bias, distanceBias }: AttentionInputs<T>,
  ): T {
    const { ops, batch, length } = this;
    const { heads, headSize, keyHeads = heads, scale = 1 / Math.sqrt(headSize) } = sizes;
    const { causal = false, window = Infinity } = sizes;
    const ones = ops.broadcastTo(ops.constant(Float32Array.of(1), [1, 1, 1, 1]), [batch, heads, length, 1]);
    const hidden = ops.broadcastTo(ops.reshape(keyBias, [batch, 1, length, 1]), [batch, keyHeads, length, 1]);
    const [asked, known] = [ops.concat([ops.multiply(q, scale), ones], 3), ops.concat([k, hidden], 3)];
    const group = (x: T, count: Dimension): T =>
      ops.reshape(x, [batch, keyHeads, productOf([heads / keyHeads, count]), ops.shape(x)[3]!]);
    const ungroup = (x: T, count: Dimension): T => ops.reshape(x, [batch, heads, count, ops.shape(x)[3]!]);
    if (!causal && window === Infinity && bias === undefined && distanceBias === undefined)
      return ungroup(ops.attention(group(asked, length), known, v), length);
    const biasOfRows = distanceBias && this.#biasOfRows(distanceBias, attentionBlock);
    const turned = ops.transpose(known, [0, 1, 3, 2]);
    const reach = { size: attentionBlock, before: window, after: causal ? 0 : window };
    return ops.inBlocks(length, reach, 2, (block) => {
      const part = (x: T, axis: number): T => ops.slice(x, axis, block.from, block.length);
      const products = ops.matmul(group(ops.slice(asked, 2, block.start, block.size), block.size), part(turned, 3));
      const scores = this.#biasesOf(block, sizes, bias, biasOfRows).reduce(
        (sum, each) => ops.add(sum, each),
        ungroup(products, block.size),
      );
      return ungroup(ops.matmul(group(ops.softmax(scores), block.size), part(v, 2)), block.size);
    });
  }

  /** All queries as one block, which looks at all keys. */
  #allPairs(): Block {
    return { start: 0, size: this.length, from: 0, length: this.length };
  }

  /**
   * What all layers add to the scores of all pairs, each broadcasting to `[batch, heads, length, length]`; of no use for
   * texts that are longer than `longestWhole`.
   */
  #biasesOfAllPairs(sizes: AttentionSizes, { distanceBias }: AttentionInputs<T>, keyBias: T): T[] {
    const { causal = false, window = Infinity } = sizes;
    const once = (key: unknown, compute: () => T): T => {
      const value = this.#scoreBiases.get(key) ?? this.ops.ifLonger(this.length, longestWhole, undefined, compute);
      this.#scoreBiases.set(key, value);
      return value;
    };
    return [
      ...(distanceBias === undefined ? [] : [once(distanceBias, () => this.#biasOfRows(distanceBias, this.length))]),
      causal || window !== Infinity ? once(`mask ${causal} ${window}`, () => this.#maskBias(causal, window)) : keyBias,
    ];
  }

  /** What is added to the scores of a block, besides the bias of its keys. */
  #biasesOf(
    block: Block,
    { causal = false, window = Infinity }: AttentionSizes,
    bias: AttentionInputs<T>['bias'],
    biasOfRows: T | undefined,
  ): T[] {
    return [
      ...(bias === undefined ? [] : [bias(block)]),
      ...(biasOfRows === undefined ? [] : [this.#biasOfBlock(biasOfRows, block)]),
      ...this.#hidden(block, causal, window).map((hidden) => this.ops.multiply(hidden, maskedScore)),
    ];
  }

  /** The mask, added to the scores of each key: `[batch, 1, 1, length]`. */
  #biasOfKeys(): T {
    const { ops, batch, length } = this;
    return ops.multiply(ops.subtract(1, ops.reshape(this.mask(), [batch, 1, 1, length])), maskedScore);
  }

  /** The mask, added to the scores of all pairs: `[batch, 1, length, length]`. */
  #maskBias(causal: boolean, window: number): T {
    const { ops, batch, length } = this;
    const visible = this.#hidden(this.#allPairs(), causal, window).reduce(
      (seen, hidden) => ops.multiply(seen, ops.subtract(1, hidden)),
      ops.reshape(this.mask(), [batch, 1, 1, length]),
    );
    return ops.multiply(ops.subtract(1, visible), maskedScore);
  }

  /** 1 where a query of a block may not attend to a key, for each reason: `[queries, keys]`. */
  #hidden(block: Block, causal: boolean, window: number): T[] {
    const { ops } = this;
    const distances = (): T => this.#distancesOfPairs(block);
    return [
      ...(causal ? [ops.greater(distances(), 0)] : []),
      ...(window === Infinity ? [] : [ops.greater(absolute(ops, distances()), window)]),
    ];
  }

  /** How many positions a key is after a query of a block: `[queries, keys]`. */
  #distancesOfPairs({ start, size, from, length }: Block): T {
    const { ops } = this;
    const positions = (first: Dimension, count: Dimension): T => {
      const counted = ops.toFloat(ops.range(count));
      return first === 0 ? counted : ops.add(counted, ops.size(first));
    };
    return ops.subtract(positions(from, length), ops.reshape(positions(start, size), [size, 1]));
  }

  /** The bias of each pair of a block, from that of each pair of a query with all distances: see {@link #biasOfRows}. */
  #biasOfBlock(biasOfRows: T, { start, size, from, length }: Block): T {
    const first = sumOf([this.length, from, productOf([-1, start]), productOf([-1, size])]);
    return this.ops.slice(biasOfRows, 3, first, length);
  }

  /**
   * The bias of `size` successive queries, row by row, from that of each distance: `[1, heads, size, 2 · length - size]`.
   * Column c of the first of them counts where the key is c + size - length positions after it.
   */
  #biasOfRows(distanceBias: T, size: Dimension): T {
    const { ops } = this;
    const [heads, columns] = ops.shape(distanceBias) as [Dimension, Dimension];
    const length = sumOf([columns, productOf([-1, size])]);
    const repeated = ops.broadcastTo(ops.reshape(distanceBias, [heads, 1, columns]), [heads, size, columns]);
    return ops.reshape(this.pairsOfDistances(repeated, { size, length }), [1, heads, size, length]);
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
