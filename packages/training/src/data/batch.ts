// A batch of tokenized examples as a step takes it, and its parts for cached gradients.
import { maskForPooling, padBatch, type TokenizedText } from '@sentvec/core';

/** A batch of examples as a step takes it. All arrays may be moved between threads. */
export interface TrainingBatch {
  readonly columns: number;
  readonly examples: number;
  /** Tokens of the longest text. */
  readonly length: number;
  /** `[columns, examples, length]`, padded with 0. */
  readonly ids: Int32Array;
  /** `[columns, examples, length]`: 1 for a token. */
  readonly mask: Int32Array;
  /** `[columns, examples, length]`: 1 for a token that takes part in pooling. */
  readonly poolingMask: Float32Array;
  /** A row for each example, where the loss has labels. */
  readonly labels?: Float32Array | undefined;
}

/** Texts of one column. */
export interface BatchColumn {
  readonly texts: readonly TokenizedText[];
  /** Leading tokens that take no part in pooling, as `countUnpooledTokens` gives them. @default 0 */
  readonly unpooledTokens?: number | undefined;
}

/** Puts tokenized texts, one list for each column and all of one length, into a batch. */
export function makeBatch(columns: readonly BatchColumn[], labels?: Float32Array): TrainingBatch {
  const batch = padBatch(
    columns.flatMap(({ texts }) => texts),
    0,
  );
  const unpooled = columns.flatMap(({ texts, unpooledTokens = 0 }) => texts.map(() => unpooledTokens));
  return {
    columns: columns.length,
    examples: columns[0]?.texts.length ?? 0,
    length: batch.cols,
    ids: batch.ids,
    mask: batch.mask,
    poolingMask: Float32Array.from(maskForPooling(batch, unpooled)),
    labels,
  };
}

/**
 * The texts of all columns in order, a few at a time, as batches of one column without labels. Each is as long as its
 * longest text.
 */
export function textsInParts(batch: TrainingBatch, most: number): TrainingBatch[] {
  const texts = batch.columns * batch.examples;
  return Array.from({ length: Math.ceil(texts / most) }, (_, index) => {
    const first = index * most;
    return textsFrom(batch, first, Math.min(most, texts - first));
  });
}

function textsFrom({ ids, mask, poolingMask, length }: TrainingBatch, first: number, examples: number): TrainingBatch {
  let longest = 1;
  for (let position = 0; position < examples * length; position++) {
    if (mask[first * length + position] !== 0) longest = Math.max(longest, (position % length) + 1);
  }
  const size = examples * longest;
  const part = { ids: new Int32Array(size), mask: new Int32Array(size), poolingMask: new Float32Array(size) };
  for (let text = 0; text < examples; text++) {
    const from = (first + text) * length;
    part.ids.set(ids.subarray(from, from + longest), text * longest);
    part.mask.set(mask.subarray(from, from + longest), text * longest);
    part.poolingMask.set(poolingMask.subarray(from, from + longest), text * longest);
  }
  return { columns: 1, examples, length: longest, ...part };
}
