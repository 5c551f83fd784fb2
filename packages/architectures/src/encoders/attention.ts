// Multi-head attention. For short texts it computes the scores of all pairs of tokens in one product, for long texts in
// blocks of queries.
import { absolute, attentionBlock } from '../derived-operations.ts';
import { productOf, sumOf } from '../dimensions.ts';
import type { Block, Dimension, Operations } from '../operations.ts';

/**
 * Added to the attention scores of masked tokens, so that their softmax is 0. It is finite, because a row of -Infinity
 * only (a text without tokens) would give NaN.
 */
export const maskedScore = -1e9;

/**
 * Up to this number of tokens, attention computes the scores of all pairs of tokens in one product, since they fit into
 * the processor cache. For longer texts it computes them for one block of queries after the other, so that memory grows
 * linearly with the length instead of quadratically.
 */
const maxSingleBlock = 512;

/** Sizes, dropout rate and mask of multi-head attention. Padding is always masked. */
export interface AttentionSizes {
  readonly heads: number;
  readonly headSize: number;
  /**
   * The number of heads of keys and values for grouped-query attention (Ainslie et al., 2023). It divides `heads`;
   * successive heads of queries share a head of keys and values.
   * @default heads
   */
  readonly keyHeads?: number | undefined;
  /** The dropout rate of the attention probabilities. */
  readonly dropout: number;
  /**
   * The factor of the dot products of queries and keys.
   * @default 1 / sqrt(headSize)
   */
  readonly scale?: number | undefined;
  /**
   * Whether a token attends only to itself and to earlier tokens.
   * @default false
   */
  readonly causal?: boolean | undefined;
  /**
   * The largest distance, in positions, between a token and a token that it attends to.
   * @default no limit
   */
  readonly window?: number | undefined;
}

/** The cosines and sines of the angles of rotary position embeddings: `[length, headSize / 2]`. */
export interface Rotation<T> {
  readonly cosines: T;
  readonly sines: T;
}

/** The inputs of attention besides queries, keys and values. */
export interface AttentionInputs<T> {
  /** Rotary position embeddings of queries and keys. */
  readonly rotation?: Rotation<T> | undefined;
  /** Added to the scaled scores of a block of queries: `[batch, heads, queries of the block, keys of the block]`. */
  readonly bias?: ((block: Block) => T) | undefined;
  /**
   * Added to the scaled scores by the distance of key and query: `[heads, 2 · length]`. Column c is for keys that are c
   * - length positions after the query.
   */
  readonly distanceBias?: T | undefined;
}

/** The operations and the batch with which attention computes. */
interface AttentionContext<T> {
  readonly ops: Operations<T>;
  readonly batch: Dimension;
  readonly length: Dimension;
  /** 1 for tokens, 0 for padding: floats of shape `[batch, length]`. */
  mask(): T;
  dropout(x: T, rate: number): T;
}

/** The attention of all layers over one batch. Layers share the biases that do not depend on the layer. */
export class Attention<T> {
  readonly #context: AttentionContext<T>;
  /** Biases that all layers share, computed once per batch. The key identifies the distance bias or the mask. */
  readonly #biases = new Map<unknown, T>();
  #keyBias: T | undefined;
  /** The results of `#reaching` by window. */
  readonly #reachings = new Map<number, T>();

  constructor(context: AttentionContext<T>) {
    this.#context = context;
  }

  /**
   * Computes softmax(scale · queries · keysᵀ + biases) · values (Vaswani et al., 2017): `[batch, heads, length,
   * headSize]`, like the queries; keys and values are `[batch, keyHeads, length, headSize]`. The rows of padding are
   * undefined.
   */
  attend(queries: T, keys: T, values: T, sizes: AttentionSizes, inputs: AttentionInputs<T>): T {
    const { ops, length } = this.#context;
    // Shared biases are computed before the branch, because the nodes of a branch that is not taken are not executed.
    const keyBias = (this.#keyBias ??= this.#biasOfKeys());
    const biases = this.#biasesOfAllPairs(sizes, inputs, keyBias);
    const mixed = ops.ifLonger(
      length,
      maxSingleBlock,
      () => this.#inBlocks(queries, keys, values, keyBias, sizes, inputs),
      () => this.#inOneBlock(queries, keys, values, biases, sizes, inputs),
    );
    const { window = Infinity } = sizes;
    return window === Infinity ? mixed : ops.multiply(mixed, this.#reaching(window));
  }

  /**
   * 1 for positions that have a token within the window, otherwise 0: `[batch, 1, length, 1]`. The expansion tokens of
   * a late-interaction query may be farther behind the query than the window; such a position attends to no token, and
   * its result is 0, as in PyTorch. Padding is on the right.
   */
  #reaching(window: number): T {
    const extendedKeys = this.#reachings.get(window);
    if (extendedKeys !== undefined) return extendedKeys;
    const { ops, batch, length } = this.#context;
    const positions = ops.toFloat(ops.range(length));
    const tokens = ops.sum(this.#context.mask(), [1], true);
    const reaching = ops.reshape(ops.greater(ops.add(tokens, window), positions), [batch, 1, length, 1]);
    this.#reachings.set(window, reaching);
    return reaching;
  }

  /** Attention with the scores of all pairs of tokens in one product. */
  #inOneBlock(
    q: T,
    k: T,
    v: T,
    biases: readonly T[],
    { heads, headSize, keyHeads = heads, dropout, scale = 1 / Math.sqrt(headSize) }: AttentionSizes,
    { bias }: AttentionInputs<T>,
  ): T {
    const { ops, batch, length } = this.#context;
    // Queries that share a head of keys become rows of one product, so that keys and values need not be repeated.
    const shared = [batch, keyHeads, productOf([heads / keyHeads, length])] as const;
    const rows = ops.reshape(q, [...shared, headSize]);
    const products = ops.reshape(ops.matmul(rows, k, { transposeRight: true }), [batch, heads, length, length]);
    const all = [...(bias === undefined ? [] : [bias(this.#allPairs())]), ...biases];
    const scores = all.reduce((sum, each) => ops.add(sum, each), ops.multiply(products, scale));
    const probabilities = ops.reshape(this.#context.dropout(ops.softmax(scores), dropout), [...shared, length]);
    return ops.reshape(ops.matmul(probabilities, v), [batch, heads, length, headSize]);
  }

  /**
   * Attention for one block of queries after the other, each with the keys to which it may attend. The padding mask is
   * part of the product: queries get an additional entry of 1, keys an additional entry of 0 or, for padding,
   * `maskedScore`.
   */
  #inBlocks(q: T, k: T, v: T, keyBias: T, sizes: AttentionSizes, { bias, distanceBias }: AttentionInputs<T>): T {
    const { ops, batch, length } = this.#context;
    const { heads, headSize, keyHeads = heads, scale = 1 / Math.sqrt(headSize) } = sizes;
    const { causal = false, window = Infinity } = sizes;
    const ones = ops.broadcastTo(ops.constant(Float32Array.of(1), [1, 1, 1, 1]), [batch, heads, length, 1]);
    const hidden = ops.broadcastTo(ops.reshape(keyBias, [batch, 1, length, 1]), [batch, keyHeads, length, 1]);
    const [extendedQueries, extendedKeys] = [ops.concat([ops.multiply(q, scale), ones], 3), ops.concat([k, hidden], 3)];
    const group = (x: T, count: Dimension): T =>
      ops.reshape(x, [batch, keyHeads, productOf([heads / keyHeads, count]), ops.shape(x)[3]!]);
    const ungroup = (x: T, count: Dimension): T => ops.reshape(x, [batch, heads, count, ops.shape(x)[3]!]);
    if (!causal && window === Infinity && bias === undefined && distanceBias === undefined)
      return ungroup(ops.attention(group(extendedQueries, length), extendedKeys, v), length);
    const biasOfRows = distanceBias && this.#biasOfRows(distanceBias, attentionBlock);
    const transposedKeys = ops.transpose(extendedKeys, [0, 1, 3, 2]);
    const reach = { size: attentionBlock, before: window, after: causal ? 0 : window };
    return ops.inBlocks(length, reach, 2, (block) => {
      const part = (x: T, axis: number): T => ops.slice(x, axis, block.from, block.length);
      const products = ops.matmul(
        group(ops.slice(extendedQueries, 2, block.start, block.size), block.size),
        part(transposedKeys, 3),
      );
      const scores = this.#biasesOf(block, sizes, bias, biasOfRows).reduce(
        (sum, each) => ops.add(sum, each),
        ungroup(products, block.size),
      );
      return ungroup(ops.matmul(group(ops.softmax(scores), block.size), part(v, 2)), block.size);
    });
  }

  /** A block of all queries and all keys. */
  #allPairs(): Block {
    return { start: 0, size: this.#context.length, from: 0, length: this.#context.length };
  }

  /**
   * The biases of all pairs of tokens that all layers share. Each broadcasts to `[batch, heads, length, length]`. They
   * are not computed for texts that are longer than `maxSingleBlock`.
   */
  #biasesOfAllPairs(sizes: AttentionSizes, { distanceBias }: AttentionInputs<T>, keyBias: T): T[] {
    const { causal = false, window = Infinity } = sizes;
    const once = (key: unknown, compute: () => T): T => {
      const { ops, length } = this.#context;
      const value = this.#biases.get(key) ?? ops.ifLonger(length, maxSingleBlock, undefined, compute);
      this.#biases.set(key, value);
      return value;
    };
    return [
      ...(distanceBias === undefined
        ? []
        : [once(distanceBias, () => this.#biasOfRows(distanceBias, this.#context.length))]),
      causal || window !== Infinity ? once(`mask ${causal} ${window}`, () => this.#maskBias(causal, window)) : keyBias,
    ];
  }

  /** The biases of a block of queries, without the padding mask. */
  #biasesOf(
    block: Block,
    { causal = false, window = Infinity }: AttentionSizes,
    bias: AttentionInputs<T>['bias'],
    biasOfRows: T | undefined,
  ): T[] {
    return [
      ...(bias === undefined ? [] : [bias(block)]),
      ...(biasOfRows === undefined ? [] : [this.#biasOfBlock(biasOfRows, block)]),
      ...this.#hidden(block, causal, window).map((hidden) => this.#context.ops.multiply(hidden, maskedScore)),
    ];
  }

  /** The padding mask as a bias of the keys: `[batch, 1, 1, length]`. */
  #biasOfKeys(): T {
    const { ops, batch, length } = this.#context;
    return ops.multiply(ops.subtract(1, ops.reshape(this.#context.mask(), [batch, 1, 1, length])), maskedScore);
  }

  /** The padding, causal and window masks as a bias of all pairs: `[batch, 1, length, length]`. */
  #maskBias(causal: boolean, window: number): T {
    const { ops, batch, length } = this.#context;
    const visible = this.#hidden(this.#allPairs(), causal, window).reduce(
      (seen, hidden) => ops.multiply(seen, ops.subtract(1, hidden)),
      ops.reshape(this.#context.mask(), [batch, 1, 1, length]),
    );
    return ops.multiply(ops.subtract(1, visible), maskedScore);
  }

  /** The causal mask and the window mask of a block, as far as they are used: 1 for masked pairs, `[queries, keys]`. */
  #hidden(block: Block, causal: boolean, window: number): T[] {
    const { ops } = this.#context;
    const pairDistances = (): T => this.#distancesOfPairs(block);
    return [
      ...(causal ? [ops.greater(pairDistances(), 0)] : []),
      ...(window === Infinity ? [] : [ops.greater(absolute(ops, pairDistances()), window)]),
    ];
  }

  /** The position of each key minus the position of each query of a block: `[queries, keys]`. */
  #distancesOfPairs({ start, size, from, length }: Block): T {
    const { ops } = this.#context;
    const positions = (first: Dimension, count: Dimension): T => {
      const counted = ops.toFloat(ops.range(count));
      return first === 0 ? counted : ops.add(counted, ops.size(first));
    };
    return ops.subtract(positions(from, length), ops.reshape(positions(start, size), [size, 1]));
  }

  /** The distance bias of each pair of a block, a slice of the result of {@link #biasOfRows}. */
  #biasOfBlock(biasOfRows: T, { start, size, from, length }: Block): T {
    return this.#context.ops.slice(biasOfRows, 3, firstDistance(this.#context, { start, size, from }), length);
  }

  /**
   * The distance bias of `size` successive queries: `[1, heads, size, 2 · length - size]`. Column c of the first query
   * is for the key that is c + size - length positions after it; each following row is shifted by one position.
   */
  #biasOfRows(distanceBias: T, size: Dimension): T {
    const { ops } = this.#context;
    const [heads, columns] = ops.shape(distanceBias) as [Dimension, Dimension];
    const length = sumOf([columns, productOf([-1, size])]);
    const repeated = ops.broadcastTo(ops.reshape(distanceBias, [heads, 1, columns]), [heads, size, columns]);
    return ops.reshape(pairsOfDistances(ops, repeated, { size, length }), [1, heads, size, length]);
  }
}

/** The operations and the length of a batch. */
type Lengths<T> = Pick<AttentionContext<T>, 'ops' | 'length'>;

/** All distances of a key from a query: the floats -length to length - 1. */
export function distances<T>({ ops, length }: Lengths<T>): T {
  return ops.subtract(ops.toFloat(ops.range(productOf([2, length]))), ops.size(length));
}

/**
 * The slice of `x` for the distances in a block and one distance below them. Along `axis`, `x` has one entry for each
 * of {@link distances}.
 */
export function distancesIn<T>(lengths: Lengths<T>, x: T, axis: number, block: Block): T {
  return lengths.ops.slice(x, axis, firstDistance(lengths, block), sumOf([block.size, block.length]));
}

/** The index in {@link distances} at which the slice of a block starts. */
function firstDistance<T>({ length }: Lengths<T>, { start, size, from }: Omit<Block, 'length'>): Dimension {
  return sumOf([length, from, productOf([-1, start]), productOf([-1, size])]);
}

/**
 * Converts values by query and distance, `[n, queries, queries + keys]` with the columns of {@link distancesIn}, to
 * values by query and key, `[n, queries, keys]`. A reshape to rows that are one entry shorter shifts each row by one
 * column relative to the previous one (the "relative shift" of Transformer-XL).
 */
export function pairsOfDistances<T>(ops: Operations<T>, x: T, { size, length }: Pick<Block, 'size' | 'length'>): T {
  const [count, , columns] = ops.shape(x) as [Dimension, Dimension, Dimension];
  const shorter = sumOf([columns, -1]);
  const flat = ops.reshape(x, [count, productOf([size, columns])]);
  const fromFirst = ops.slice(flat, 1, size, productOf([size, shorter]));
  return ops.slice(ops.reshape(fromFirst, [count, size, shorter]), 2, 0, length);
}
