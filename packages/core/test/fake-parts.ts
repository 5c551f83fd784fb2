import {
  createPooling,
  type EmbedderParts,
  type Encoder,
  type Matrix,
  memoryModel,
  SentvecError,
  type TokenBatch,
  type Tokenizer,
} from '@sentvec/core';

/**
 * A tokenizer that gives the code of each character as a token; `<` and `>` are its special tokens. A text of spaces
 * gives no tokens.
 */
export function characterTokenizer(): Tokenizer {
  return {
    name: 'characters',
    vocabularySize: 2 ** 16,
    paddingId: 0,
    specialTokens: { prefix: [60], suffix: [62] },
    encode: async (texts, { maxLength, addSpecialTokens = true }) =>
      texts.map((text) => {
        const codes = Array.from(text.trim(), (character) => character.charCodeAt(0));
        const specialTokenCount = addSpecialTokens ? 2 : 0;
        const kept = codes.slice(0, maxLength - specialTokenCount);
        const ids = Int32Array.from(addSpecialTokens ? [60, ...kept, 62] : kept);
        return { ids, length: codes.length + specialTokenCount, truncated: kept.length < codes.length };
      }),
    dispose: async () => {},
  };
}

/** The recorded calls of a {@link fakeEncoder}. */
export interface Calls {
  readonly batches: TokenBatch[];
  running: number;
  maxRunning: number;
  disposed: number;
}

/**
 * An encoder whose token vectors consist of the id, the position, the text's length, and id × position, so that mixed
 * up rows and counted padding are detected.
 */
export function fakeEncoder(
  options: Partial<Encoder> & { delay?: (batch: TokenBatch) => Promise<void> } = {},
): Encoder & { calls: Calls } {
  const calls: Calls = { batches: [], running: 0, maxRunning: 0, disposed: 0 };
  const { delay, ...fields } = options;
  return {
    calls,
    hiddenSize: 4,
    maxPositions: 64,
    concurrency: 2,
    batchTokens: 128,
    encode: async (batch, { signal } = {}) => {
      calls.batches.push(batch);
      calls.maxRunning = Math.max(calls.maxRunning, (calls.running += 1));
      await (delay ? delay(batch) : new Promise((resolve) => setTimeout(resolve, batch.ids.length % 3)));
      calls.running -= 1;
      if (signal?.aborted) throw new SentvecError('aborted', 'aborted');
      return tokenVectors(batch);
    },
    dispose: async () => {
      calls.disposed += 1;
    },
    ...fields,
  };
}

/** See {@link fakeEncoder}. */
export function tokenVectors(batch: TokenBatch): Matrix {
  const data = new Float32Array(batch.rows * batch.cols * 4).fill(1e30);
  for (let row = 0; row < batch.rows; row += 1) {
    const mask = batch.mask.subarray(row * batch.cols, (row + 1) * batch.cols);
    const length = mask.reduce((sum, bit) => sum + bit, 0);
    for (let column = 0; column < length; column += 1) {
      const id = batch.ids[row * batch.cols + column]!;
      data.set([id, column, length, id * column], (row * batch.cols + column) * 4);
    }
  }
  return { data, rows: batch.rows * batch.cols, cols: 4 };
}

/** Parts of an embedder without a model. */
export function fakeParts(parts: Partial<EmbedderParts> = {}): EmbedderParts {
  return {
    model: memoryModel('fake', {}),
    tokenizer: characterTokenizer(),
    encoder: fakeEncoder(),
    head: { pooling: createPooling('mean'), projections: [] },
    maxLength: 64,
    ...parts,
  };
}

/** The expected mean of the token vectors of {@link fakeEncoder} for one text. */
export function expectedMean(text: string, maxLength = 64): number[] {
  const codes = Array.from(text.trim(), (character) => character.charCodeAt(0)).slice(0, maxLength - 2);
  const ids = [60, ...codes, 62];
  const sums = [0, 0, ids.length ** 2, 0];
  for (const [column, id] of ids.entries()) {
    sums[0]! += id;
    sums[1]! += column;
    sums[3]! += id * column;
  }
  return sums.map((sum) => sum / ids.length);
}
