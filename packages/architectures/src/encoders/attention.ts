// Multi-head attention: over all pairs of tokens at once where texts are short, in blocks of queries where they are long.
import { absolute, attentionBlock } from '../derived-operations.ts';
import { productOf, sumOf } from '../dimensions.ts';
import type { Block, Dimension, Operations } from '../operations.ts';

/**
 * Added to the attention scores of tokens that are not attended to; its exponential is 0, however large scores are. Not
 * infinite: a row without any token would give no numbers.
 */
export const maskedScore = -1e9;

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

/** The batch that attention computes. */
interface AttentionContext<T> {
  readonly ops: Operations<T>;
  readonly batch: Dimension;
  readonly length: Dimension;
  /** 1 for a real token, 0 for padding: floats `[batch, length]`. */
  mask(): T;
  dropout(x: T, rate: number): T;
}

/** Attention of all layers over one batch. */
export class Attention<T> {
  readonly #context: AttentionContext<T>;
  /** What all layers add to their scores, computed once a batch. The key says what a tensor depends on. */
  readonly #biases = new Map<unknown, T>();
  #keyBias: T | undefined;
  /** Which queries have a token within a window. */
  readonly #reachings = new Map<number, T>();

  constructor(context: AttentionContext<T>) {
    this.#context = context;
  }

  /**
   * softmax(scale · queries · keysᵀ + biases) · values (Vaswani et al., 2017): `[batch, heads, length, headSize]`, as the
   * queries; keys and values are `[batch, keyHeads, length, headSize]`. Rows at padding are arbitrary.
   */
  attend(queries: T, keys: T, values: T, sizes: AttentionSizes, inputs: AttentionInputs<T>): T {
    const { ops, length } = this.#context;
    // What layers share is computed here: a way that is not taken computes nothing.
    const keyBias = (this.#keyBias ??= this.#biasOfKeys());
    const biases = this.#biasesOfAllPairs(sizes, inputs, keyBias);
    const mixed = ops.ifLonger(
      length,
      longestWhole,
      () => this.#inBlocks(queries, keys, values, keyBias, sizes, inputs),
      () => this.#atOnce(queries, keys, values, biases, sizes, inputs),
    );
    const { window = Infinity } = sizes;
    return window === Infinity ? mixed : ops.multiply(mixed, this.#reaching(window));
  }

  /**
   * 1 for queries that have a token within the window, else 0: `[batch, 1, length, 1]`. What expands a query of late
   * interaction may lie farther behind it than that; it attends to nothing, and gets nothing, as in PyTorch. Tokens come
   * first in each row.
   */
  #reaching(window: number): T {
    const known = this.#reachings.get(window);
    if (known !== undefined) return known;
    const { ops, batch, length } = this.#context;
    const positions = ops.toFloat(ops.range(length));
    const tokens = ops.sum(this.#context.mask(), [1], true);
    const reaching = ops.reshape(ops.greater(ops.add(tokens, window), positions), [batch, 1, length, 1]);
    this.#reachings.set(window, reaching);
    return reaching;
  }

  /** Attention over the scores of all pairs of tokens. */
  #atOnce(
    q: T,
    k: T,
    v: T,
    biases: readonly T[],
    { heads, headSize, keyHeads = heads, dropout, scale = 1 / Math.sqrt(headSize) }: AttentionSizes,
    { bias }: AttentionInputs<T>,
  ): T {
    const { ops, batch, length } = this.#context;
    // Queries that share keys become more rows of one product, so keys and values are not repeated.
    const shared = [batch, keyHeads, productOf([heads / keyHeads, length])] as const;
    const rows = ops.reshape(q, [...shared, headSize]);
    const products = ops.reshape(ops.matmul(rows, k, { transposeRight: true }), [batch, heads, length, length]);
    const all = [...(bias === undefined ? [] : [bias(this.#allPairs())]), ...biases];
    const scores = all.reduce((sum, each) => ops.add(sum, each), ops.multiply(products, scale));
    const probabilities = ops.reshape(this.#context.dropout(ops.softmax(scores), dropout), [...shared, length]);
    return ops.reshape(ops.matmul(probabilities, v), [batch, heads, length, headSize]);
  }

  /**
   * The same for one block of queries after the other, each with the keys that it may attend to. Queries get one more
   * entry, 1, and keys one that hides those of padding: the products then are the scores.
   */
  #inBlocks(q: T, k: T, v: T, keyBias: T, sizes: AttentionSizes, { bias, distanceBias }: AttentionInputs<T>): T {
    const { ops, batch, length } = this.#context;
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
    return { start: 0, size: this.#context.length, from: 0, length: this.#context.length };
  }

  /**
   * What all layers add to the scores of all pairs, each broadcasting to `[batch, heads, length, length]`; of no use for
   * texts that are longer than `longestWhole`.
   */
  #biasesOfAllPairs(sizes: AttentionSizes, { distanceBias }: AttentionInputs<T>, keyBias: T): T[] {
    const { causal = false, window = Infinity } = sizes;
    const once = (key: unknown, compute: () => T): T => {
      const { ops, length } = this.#context;
      const value = this.#biases.get(key) ?? ops.ifLonger(length, longestWhole, undefined, compute);
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
      ...this.#hidden(block, causal, window).map((hidden) => this.#context.ops.multiply(hidden, maskedScore)),
    ];
  }

  /** The mask, added to the scores of each key: `[batch, 1, 1, length]`. */
  #biasOfKeys(): T {
    const { ops, batch, length } = this.#context;
    return ops.multiply(ops.subtract(1, ops.reshape(this.#context.mask(), [batch, 1, 1, length])), maskedScore);
  }

  /** The mask, added to the scores of all pairs: `[batch, 1, length, length]`. */
  #maskBias(causal: boolean, window: number): T {
    const { ops, batch, length } = this.#context;
    const visible = this.#hidden(this.#allPairs(), causal, window).reduce(
      (seen, hidden) => ops.multiply(seen, ops.subtract(1, hidden)),
      ops.reshape(this.#context.mask(), [batch, 1, 1, length]),
    );
    return ops.multiply(ops.subtract(1, visible), maskedScore);
  }

  /** 1 where a query of a block may not attend to a key, for each reason: `[queries, keys]`. */
  #hidden(block: Block, causal: boolean, window: number): T[] {
    const { ops } = this.#context;
    const ofPairs = (): T => this.#distancesOfPairs(block);
    return [
      ...(causal ? [ops.greater(ofPairs(), 0)] : []),
      ...(window === Infinity ? [] : [ops.greater(absolute(ops, ofPairs()), window)]),
    ];
  }

  /** How many positions a key is after a query of a block: `[queries, keys]`. */
  #distancesOfPairs({ start, size, from, length }: Block): T {
    const { ops } = this.#context;
    const positions = (first: Dimension, count: Dimension): T => {
      const counted = ops.toFloat(ops.range(count));
      return first === 0 ? counted : ops.add(counted, ops.size(first));
    };
    return ops.subtract(positions(from, length), ops.reshape(positions(start, size), [size, 1]));
  }

  /** The bias of each pair of a block, from that of each pair of a query with all distances: see {@link #biasOfRows}. */
  #biasOfBlock(biasOfRows: T, { start, size, from, length }: Block): T {
    return this.#context.ops.slice(biasOfRows, 3, firstDistance(this.#context, { start, size, from }), length);
  }

  /**
   * The bias of `size` successive queries, row by row, from that of each distance: `[1, heads, size, 2 · length - size]`.
   * Column c of the first of them counts where the key is c + size - length positions after it.
   */
  #biasOfRows(distanceBias: T, size: Dimension): T {
    const { ops } = this.#context;
    const [heads, columns] = ops.shape(distanceBias) as [Dimension, Dimension];
    const length = sumOf([columns, productOf([-1, size])]);
    const repeated = ops.broadcastTo(ops.reshape(distanceBias, [heads, 1, columns]), [heads, size, columns]);
    return ops.reshape(pairsOfDistances(ops, repeated, { size, length }), [1, heads, size, length]);
  }
}

/** What functions of distances need of a batch. */
type Lengths<T> = Pick<AttentionContext<T>, 'ops' | 'length'>;

/** How many positions a key may be after a query: -length to length - 1. */
export function distances<T>({ ops, length }: Lengths<T>): T {
  return ops.subtract(ops.toFloat(ops.range(productOf([2, length]))), ops.size(length));
}

/**
 * The distances of keys from queries that occur in a block, and one below them, of what has one entry along `axis` for
 * each of {@link distances}.
 */
export function distancesIn<T>(lengths: Lengths<T>, x: T, axis: number, block: Block): T {
  return lengths.ops.slice(x, axis, firstDistance(lengths, block), sumOf([block.size, block.length]));
}

/** Where the distances of a block begin. */
function firstDistance<T>({ length }: Lengths<T>, { start, size, from }: Omit<Block, 'length'>): Dimension {
  return sumOf([length, from, productOf([-1, start]), productOf([-1, size])]);
}

/**
 * What belongs to a query of a block and a key that it looks at, `[n, queries, keys]`, from what belongs to a query and
 * a distance, `[n, queries, queries + keys]`: the columns of {@link distancesIn}. Read in rows that are one shorter,
 * the distances of a row begin one column earlier than those of the row before.
 */
export function pairsOfDistances<T>(ops: Operations<T>, x: T, { size, length }: Pick<Block, 'size' | 'length'>): T {
  const [count, , columns] = ops.shape(x) as [Dimension, Dimension, Dimension];
  const shorter = sumOf([columns, -1]);
  const flat = ops.reshape(x, [count, productOf([size, columns])]);
  const fromFirst = ops.slice(flat, 1, size, productOf([size, shorter]));
  return ops.slice(ops.reshape(fromFirst, [count, size, shorter]), 2, 0, length);
}
