// A batch of tokenized examples as a step takes it, and its parts for cached gradients.
import { maskForPooling, padBatch, pooledTokens, type TokenizedText } from '@sentvec/core';

/** A batch of examples as a step takes it. All arrays may be moved between threads. */
export interface TrainingBatch {
  readonly columns: number;
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
   * `[columns, examples, length]`: the type of each token of a pair of texts.
   * @default all 0
   */
  readonly typeIds?: Int32Array | undefined;
  /** Of a model with a Router: the route of each column. @default the model has none */
  readonly routes?: readonly string[] | undefined;
  /** A row for each example, where the loss has labels. */
  readonly labels?: Float32Array | undefined;
}

/** Texts of one column. */
export interface BatchColumn {
  readonly texts: readonly TokenizedText[];
  /** Leading tokens that take no part in pooling, as `countUnpooledTokens` gives them. @default 0 */
  readonly unpooledTokens?: number | undefined;
  /** Of a model with a Router: the route that the texts take. Either all columns have one, or none. */
  readonly route?: string | undefined;
}

/** Puts tokenized texts, one list for each column and all of one length, into a batch. */
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
 * The texts of all columns in order, a few at a time, as batches of one column without labels. Each is as long as its
 * longest text. Those of a model with a Router take one route each.
 */
export function textsInParts(batch: TrainingBatch, most: number): TrainingBatch[] {
  const { columns, examples, routes } = batch;
  if (routes === undefined) return parts(batch, 0, columns * examples, most);
  return routes.flatMap((route, column) =>
    parts(batch, column * examples, examples, most).map((part) => ({ ...part, routes: [route] })),
  );
}

/** Some texts, beginning with number `first`, at most `most` at a time. */
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

/** The positions of a batch that hold a token, as indices into all of it, including tokens that no other attends to. */
export function positionsOfTokens({ mask, poolingMask }: Pick<TrainingBatch, 'mask' | 'poolingMask'>): Int32Array {
  const positions = new Int32Array(mask.length);
  let count = 0;
  for (let position = 0; position < mask.length; position++) {
    if (mask[position] !== 0 || poolingMask[position] !== 0) positions[count++] = position;
  }
  return positions.subarray(0, count);
}
