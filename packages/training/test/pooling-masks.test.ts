import { expect, test } from 'vitest';
import {
  createEmbedder,
  createPooling,
  memoryModel,
  readTokenizerDefinition,
  type Encoder,
  type TokenBatch,
  type Tokenizer,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { makeBatch } from '@sentvec/training';
import { tokenizeColumn } from '../src/data/tokenized-sets.ts';

const texts = ['What is the capital of France?', 'short'];
const prompt = 'Represent this: ';

/** Returns the tokenizer of a golden model, optionally with an additional closing token. */
async function tokenizerOf(model: string, closedTwice: boolean): Promise<Tokenizer> {
  const definition = await readTokenizerDefinition(goldenModel(model), {});
  const { prefix, suffix } = definition.specialTokens;
  const specialTokens = { prefix, suffix: closedTwice ? [...suffix, ...suffix] : suffix };
  return nodeTokenizer('javascript')({ ...definition, specialTokens });
}

/** Returns the pooling masks of a batch during inference, per text. */
async function served(tokenizer: Tokenizer, includePrompt: boolean, addSpecialTokens: boolean, promptText?: string) {
  const seen: TokenBatch[] = [];
  const pooling = {
    ...createPooling('mean', { includePrompt }),
    pool: (_: unknown, batch: TokenBatch) => {
      seen.push(batch);
      return { data: new Float32Array(batch.rows), rows: batch.rows, cols: 1 };
    },
    outputSize: () => 1,
  };
  const encoder: Encoder = {
    hiddenSize: 1,
    maxPositions: 64,
    concurrency: 1,
    batchTokens: 1,
    encode: async ({ rows, cols }) => ({ data: new Float32Array(rows * cols), rows: rows * cols, cols: 1 }),
    dispose: async () => undefined,
  };
  const embedder = createEmbedder({
    model: memoryModel('masks', {}),
    tokenizer,
    encoder,
    head: { pooling, projections: [] },
    maxLength: 32,
    addSpecialTokens,
  });
  const masks: number[][] = [];
  for (const text of texts) {
    await embedder.embed([text], { promptText });
    masks.push([...seen.at(-1)!.mask]);
  }
  return masks;
}

/** Returns the pooling masks of the same batch during training. */
async function trained(tokenizer: Tokenizer, includePrompt: boolean, addSpecialTokens: boolean, promptText?: string) {
  const reader = { tokenizer, maxLength: 32, addSpecialTokens, pooling: createPooling('mean', { includePrompt }) };
  const column = await tokenizeColumn(reader, texts, { prompt: promptText });
  return column.texts.map((text) => [...makeBatch([{ ...column, texts: [text] }]).poolingMask]);
}

const cases = ['tiny-bert', 'tiny-roberta', 'tiny-mpnet'].flatMap((model) =>
  [true, false].flatMap((closedTwice) =>
    [true, false].flatMap((includePrompt) =>
      [true, false].map((addSpecialTokens) => ({ model, closedTwice, includePrompt, addSpecialTokens })),
    ),
  ),
);

test.each(cases)('training and inference use the same pooling mask: %j', async (each) => {
  const { includePrompt, addSpecialTokens } = each;
  const tokenizer = await tokenizerOf(each.model, each.closedTwice);
  for (const promptText of [undefined, '', prompt]) {
    const masks = await served(tokenizer, includePrompt, addSpecialTokens, promptText);
    expect(await trained(tokenizer, includePrompt, addSpecialTokens, promptText)).toEqual(masks);
    const [alone] = await tokenizer.encode([promptText ?? ''], { maxLength: 32, addSpecialTokens });
    const leftOut = !includePrompt && promptText === prompt ? alone!.ids.length - (addSpecialTokens ? 1 : 0) : 0;
    for (const mask of masks) {
      expect(mask.slice(0, leftOut).every((bit) => bit === 0)).toBe(true);
      expect(mask.slice(leftOut).every((bit) => bit === 1)).toBe(true);
    }
  }
  await tokenizer.dispose();
});
