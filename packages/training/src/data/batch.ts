// A training batch of tokenized examples, and how it is split into parts for cached gradients (GradCache).
import { maskForPooling, padBatch, pooledTokens, type TokenizedText } from '@sentvec/core';

/** A training batch: tokenized examples, padded to one length. All arrays may be transferred between threads. */
export interface TrainingBatch {
  /** Number of texts of an example: 2 for (anchor, positive). */
  readonly columns: number;
  /** Number of examples. */
  readonly examples: number;
  /** Tokens of the longest text. */
  readonly length: number;
  /** `[columns, examples, length]`, padded with 0. */
  readonly ids: Int32Array;
  /** `[columns, examples, length]`: 1 for a token that the others attend to. */
  readonly mask: Int32Array;
  /** `[columns, examples, length]`: 1 for a token that takes part in pooling. */
  readonly poolingMask: Float32Array;
  /**
   * `[columns, examples, length]`: token type ids, which tell the two texts of a pair apart.
   * @default all 0
   */
  readonly typeIds?: Int32Array | undefined;
  /** The route of each column, for a model with a Router. @default the model has no Router */
  readonly routes?: readonly string[] | undefined;
  /** One row per example. @default the loss has no labels */
  readonly labels?: Float32Array | undefined;
}

/** The texts of one column. */
export interface BatchColumn {
  readonly texts: readonly TokenizedText[];
  /** Leading tokens that take no part in pooling, as `countUnpooledTokens` gives them. @default 0 */
  readonly unpooledTokens?: number | undefined;
  /** The route of the texts, for a model with a Router. Either all columns have a route, or none has. */
  readonly route?: string | undefined;
}

/** Makes a batch of tokenized texts: one list of texts per column, all lists with the same number of texts. */
export function makeBatch(columns: readonly BatchColumn[], labels?: Float32Array): TrainingBatch {
  const all = columns.flatMap(({ texts }) => texts);
  const batch = padBatch(all, 0);
  const unpooled = columns.flatMap(({ texts, unpooledTokens = 0 }) => texts.map(() => unpooledTokens));
  return {
    columns: columns.length,
    examples: columns[0]?.texts.length ?? 0,
    length: batch.cols,
    ids: batch.ids,
    mask: batch.mask,
    poolingMask: Float32Array.from(pooledTokens(all, batch) ?? maskForPooling(batch, unpooled)),
    typeIds: batch.typeIds,
    routes: columns[0]?.route === undefined ? undefined : columns.map(({ route }) => route!),
    labels,
  };
}

/**
 * Splits a batch into batches of one column, without labels, of at most `most` texts each. They hold the texts of the
 * first column, then those of the second, and so on. Each part is padded to its own longest text. With a Router, all
 * texts of a part have the same route.
 */
export function textsInParts(batch: TrainingBatch, most: number): TrainingBatch[] {
  const { columns, examples, routes } = batch;
  if (routes === undefined) return parts(batch, 0, columns * examples, most);
  return routes.flatMap((route, column) =>
    parts(batch, column * examples, examples, most).map((part) => ({ ...part, routes: [route] })),
  );
}

/** Splits `count` texts, beginning with text `first`, into parts of at most `most`. */
function parts(batch: TrainingBatch, first: number, count: number, most: number): TrainingBatch[] {
  const size = Math.min(most, count);
  return Array.from({ length: Math.ceil(count / size) }, (_, index) =>
    textsFrom(batch, first + index * size, Math.min(size, count - index * size)),
  );
}

function textsFrom(batch: TrainingBatch, first: number, examples: number): TrainingBatch {
  const { ids, mask, poolingMask, typeIds, length } = batch;
  let longest = 1;
  for (let position = 0; position < examples * length; position++) {
    if (mask[first * length + position] !== 0) longest = Math.max(longest, (position % length) + 1);
  }
  const size = examples * longest;
  const part = { ids: new Int32Array(size), mask: new Int32Array(size), poolingMask: new Float32Array(size) };
  const types = typeIds && new Int32Array(size);
  for (let text = 0; text < examples; text++) {
    const from = (first + text) * length;
    part.ids.set(ids.subarray(from, from + longest), text * longest);
    part.mask.set(mask.subarray(from, from + longest), text * longest);
    part.poolingMask.set(poolingMask.subarray(from, from + longest), text * longest);
    types?.set(typeIds!.subarray(from, from + longest), text * longest);
  }
  return { columns: 1, examples, length: longest, ...part, typeIds: types };
}

/**
 * Flat indices of the tokens of a batch, without padding. A pooled token counts even if no other token attends to it.
 */
export function positionsOfTokens({ mask, poolingMask }: Pick<TrainingBatch, 'mask' | 'poolingMask'>): Int32Array {
  const positions = new Int32Array(mask.length);
  let count = 0;
  for (let position = 0; position < mask.length; position++) {
    if (mask[position] !== 0 || poolingMask[position] !== 0) positions[count++] = position;
  }
  return positions.subarray(0, count);
}
