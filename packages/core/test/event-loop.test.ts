import {
  createEmbedder,
  createPooling,
  javaScriptTokenizer,
  readTokenizerDefinition,
  type Matrix,
  type TokenBatch,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { fakeEncoder, fakeParts } from './fake-parts.ts';

const hiddenSize = 128;

/** Token vectors that need no computation, but are long enough that pooling them takes time. */
async function instantVectors(batch: TokenBatch): Promise<Matrix> {
  return {
    data: new Float32Array(batch.rows * batch.cols * hiddenSize).fill(1),
    rows: batch.rows * batch.cols,
    cols: hiddenSize,
  };
}

/**
 * Counts the turns of the event loop during some work, and its CPU time in milliseconds. CPU time, unlike wall time,
 * does not depend on other processes of the machine.
 */
async function turnsDuring(work: () => Promise<unknown>): Promise<{ turns: number; milliseconds: number }> {
  let turns = 0;
  let running = true;
  const count = (): void => {
    turns += 1;
    if (running) setImmediate(count);
  };
  setImmediate(count);
  const start = process.cpuUsage();
  await work();
  running = false;
  const { user, system } = process.cpuUsage(start);
  return { turns, milliseconds: (user + system) / 1000 };
}

test.each(['in a thread', 'on the same thread'])(
  'embedding 10,000 texts keeps the event loop running, tokenizer %s',
  async (place) => {
    const definition = await readTokenizerDefinition(goldenModel('tiny-bert'));
    const tokenizer = await (place === 'in a thread' ? nodeTokenizer('javascript') : javaScriptTokenizer)(definition);
    const encoder = fakeEncoder({ hiddenSize, encode: instantVectors, batchTokens: 4096 });
    const weight = { data: new Float32Array(256 * hiddenSize), rows: 256, cols: hiddenSize };
    const head = {
      pooling: createPooling('mean'),
      projections: [{ kind: 'dense', weight, activation: 'Tanh' } as const],
    };
    const embedder = createEmbedder(fakeParts({ tokenizer, encoder, head, maxLength: 32 }));
    const texts = Array.from({ length: 10_000 }, (_, row) =>
      `the quick brown fox number ${row} jumps over the lazy dog `.repeat(1 + (row % 3)),
    );
    const { turns, milliseconds } = await turnsDuring(() => embedder.embed(texts));
    expect(turns).toBeGreaterThan(milliseconds / 20);
    await embedder.dispose();
  },
);

test('concurrent calls keep the event loop running', async () => {
  const encoder = fakeEncoder({ hiddenSize, encode: instantVectors, batchTokens: 4096 });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const texts = Array.from({ length: 3000 }, (_, row) => `text number ${row}`);
  const { turns, milliseconds } = await turnsDuring(() =>
    Promise.all([embedder.embed(texts), embedder.embed(texts), embedder.embed(texts)]),
  );
  expect(turns).toBeGreaterThan(milliseconds / 20);
});
