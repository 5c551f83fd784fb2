import type { TokenizedText } from '@sentvec/core';

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

/**
 * Texts of one column. `pooledFrom`: the first token that takes part in pooling, after a prompt that does not. Default
 * 0.
 */
export interface BatchColumn {
  readonly texts: readonly TokenizedText[];
  readonly pooledFrom?: number | undefined;
}

/** Puts tokenized texts, one list for each column and all of one length, into a batch. */
export function makeBatch(columns: readonly BatchColumn[], labels?: Float32Array): TrainingBatch {
  const examples = columns[0]?.texts.length ?? 0;
  const length = columns.reduce(
    (longest, { texts }) => texts.reduce((most, text) => Math.max(most, text.ids.length), longest),
    1,
  );
  const size = columns.length * examples * length;
  const batch = { ids: new Int32Array(size), mask: new Int32Array(size), poolingMask: new Float32Array(size) };
  for (const [column, { texts, pooledFrom = 0 }] of columns.entries()) {
    for (const [row, { ids }] of texts.entries()) {
      const start = (column * examples + row) * length;
      batch.ids.set(ids, start);
      batch.mask.fill(1, start, start + ids.length);
      batch.poolingMask.fill(1, start + pooledFrom, start + ids.length);
    }
  }
  return { columns: columns.length, examples, length, ...batch, labels };
}

/**
 * The texts of all columns in order, a few at a time, as batches of one column without labels. Each is as long as its
 * longest text.
 */
export function textsInParts(batch: TrainingBatch, most: number): TrainingBatch[] {
  const texts = batch.columns * batch.examples;
  return Array.from({ length: Math.ceil(texts / most) }, (_, index) => {
    const first = index * most;
    return cutTexts(batch, first, Math.min(most, texts - first));
  });
}

function cutTexts({ ids, mask, poolingMask, length }: TrainingBatch, first: number, examples: number): TrainingBatch {
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
