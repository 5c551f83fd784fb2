import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { onnx, type OnnxOptions } from '@sentvec/backend-onnx';
import type { Embedder, ModelFiles } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { goldenExpectation, goldenModel, goldenModelNames } from '@sentvec/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let cacheDirectory: string;
beforeAll(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'sentvec-onnx-invariance-'));
});
afterAll(() => rm(cacheDirectory, { recursive: true, force: true }));

async function using<T>(model: ModelFiles, options: OnnxOptions, use: (embedder: Embedder) => Promise<T>): Promise<T> {
  const embedder = await loadEmbedder(model, { backend: onnx({ cacheDirectory, ...options }) });
  try {
    return await use(embedder);
  } finally {
    await embedder.dispose();
  }
}

/** Texts of 1 to some 60 words, in an order that mixes lengths. */
const sentences = Array.from({ length: 48 }, (_, index) => {
  const length = 1 + ((index * 37) % 61);
  return Array.from(
    { length },
    (__, word) => ['whales', 'swim', 'in', 'the', 'cold', 'sea', 'and', 'ships', 'follow'][(index * 5 + word * 7) % 9]!,
  ).join(' ');
});

const settings: readonly OnnxOptions[] = [
  { sessions: 1, threadsPerSession: 1 },
  { sessions: 1, threadsPerSession: 3 },
  { sessions: 3, threadsPerSession: 1 },
];

/**
 * The largest difference between a text's vector alone on one thread and in any batch, in any order, at any number of
 * sessions and threads.
 */
async function largestDifference(model: ModelFiles, texts: readonly string[]): Promise<number> {
  const expected = await using(model, settings[0]!, async (embedder) => {
    const alone: Float32Array[] = [];
    for (const text of texts) alone.push((await embedder.embed([text])).vectors.data);
    return alone;
  });
  let worst = 0;
  for (const options of settings) {
    await using(model, options, async (embedder) => {
      for (const batchTokens of [40, 512, 4096]) {
        for (const order of [texts.map((_, index) => index), texts.map((_, index) => index).toReversed()]) {
          const { vectors } = await embedder.embed(
            order.map((index) => texts[index]!),
            { batchTokens },
          );
          for (const [row, index] of order.entries()) {
            for (const [entry, value] of expected[index]!.entries()) {
              worst = Math.max(worst, Math.abs(value - vectors.data[row * vectors.cols + entry]!));
            }
          }
        }
      }
    });
  }
  return worst;
}

describe('a text has the same vector alone, in any batch, in any order, at any number of threads', () => {
  it.each(goldenModelNames)('%s, within 2e-5', async (name) => {
    const texts = goldenExpectation(name).cases.map(({ text }) => text);
    expect(await largestDifference(goldenModel(name), [...texts, ...texts])).toBeLessThanOrEqual(2e-5);
  });

  it('the default model, within 1e-6', async () => {
    expect(await largestDifference(await useLite({ cacheDirectory }), sentences)).toBeLessThanOrEqual(1e-6);
  });
});

it.each(['tiny-bert', 'tiny-mpnet'] as const)(
  'a vector of %s that shares no batch depends on its text alone',
  async (name) => {
    const model = goldenModel(name);
    const [alone, together] = await Promise.all([
      using(model, settings[0]!, async (embedder) => {
        const vectors: number[][] = [];
        for (const text of sentences) vectors.push([...(await embedder.embed(text, { shareBatches: false })).vector]);
        return vectors.flat();
      }),
      using(model, settings[2]!, async (embedder) => embedder.embed(sentences, { shareBatches: false })),
    ]);
    expect([...together.vectors.data]).toEqual(alone);
  },
);

it('the event loop goes on while 10,000 texts are embedded', async () => {
  const texts = Array.from({ length: 10_000 }, (_, index) => sentences[index % sentences.length]!.slice(0, 90));
  await using(goldenModel('tiny-bert'), {}, async (embedder) => {
    let iterations = 0;
    let ended = false;
    const iterate = (): void => {
      iterations += 1;
      if (!ended) setImmediate(iterate);
    };
    setImmediate(iterate);
    let batches = 0;
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await embedder.embed(texts, { onProgress: () => (batches += 1) });
    delay.disable();
    ended = true;
    const milliseconds = (nanoseconds: number): string => (nanoseconds / 1e6).toFixed(1);
    console.log(
      `event loop while 10,000 texts are embedded: ${iterations} iterations for ${batches} batches, a timer late by at most ${milliseconds(delay.max)} ms ` +
        `(99.9 %: ${milliseconds(delay.percentile(99.9))} ms), waiting for its resolution of 1 ms included`,
    );
    // A clock would measure the machine as well. Were a window of 2048 texts tokenized, or a batch computed, on this
    // thread, there would be few iterations.
    expect(iterations).toBeGreaterThan(batches / 2);
  });
});
