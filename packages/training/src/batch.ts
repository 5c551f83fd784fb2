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

/** Texts of one column. `pooledFrom`: the first token that takes part in pooling, after a prompt that does not. Default 0. */
export interface BatchColumn {
  readonly texts: readonly TokenizedText[];
  readonly pooledFrom?: number | undefined;
}

/** Puts tokenized texts, one list for each column and all of one length, into a batch. */
export function makeBatch(columns: readonly BatchColumn[], labels?: Float32Array): TrainingBatch {
  const examples = columns[0]?.texts.length ?? 0;
  const length = columns.reduce((longest, { texts }) => texts.reduce((most, text) => Math.max(most, text.ids.length), longest), 1);
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
