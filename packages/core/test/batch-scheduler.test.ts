// Concurrent calls of one embedder: which texts share batches, and that results, failures and aborts stay separate.
import { createEmbedder, type Embedded, type Embedder, type Encoder, type TokenBatch } from '@sentvec/core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { expectedMean, fakeEncoder, fakeParts, tokenVectors } from './fake-parts.ts';

// The clock is frozen, so that the texts of one turn of the event loop do not depend on the speed of the machine.
beforeEach(() => void vi.spyOn(performance, 'now').mockReturnValue(performance.now()));
afterEach(() => void vi.restoreAllMocks());

const words = (count: number, seed = 0): string[] =>
  Array.from({ length: count }, (_, index) => `text ${String.fromCharCode(97 + ((index * 7 + seed) % 26)).repeat(5)}`);

/** An encoder whose batches wait until the test lets them end. */
function heldEncoder(options: Partial<Encoder> = {}): {
  encoder: ReturnType<typeof fakeEncoder>;
  finish: () => Promise<void>;
} {
  const held: (() => void)[] = [];
  const encoder = fakeEncoder({ delay: () => new Promise<void>((resolve) => held.push(resolve)), ...options });
  const finish = async (): Promise<void> => {
    held.shift()!();
    await turns();
  };
  return { encoder, finish };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => void setImmediate(resolve));
}

function expectVector({ vectors }: Embedded, text: string, row = 0): void {
  for (const [index, expected] of expectedMean(text).entries())
    expect(vectors.data[row * vectors.cols + index]).toBeCloseTo(expected, 2);
}

const rowsOf = (batches: readonly TokenBatch[]): number[] => batches.map(({ rows }) => rows);

test('calls of one text share batches; each gets its own vector, tokens and truncation', async () => {
  const encoder = fakeEncoder({ batchTokens: 512 });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const texts = [...words(99), 'x'.repeat(100)];
  const results = await Promise.all(texts.map((text) => embedder.embed(text)));
  expect(encoder.calls.batches.length).toBeLessThanOrEqual(5);
  for (const [index, text] of texts.entries()) {
    expectVector(results[index]!, text);
    const { receipt } = results[index]!;
    expect(receipt.rows).toBe(1);
    expect(receipt.tokens).toBe(Math.min(text.length + 2, 64));
    expect(receipt.truncated).toEqual(text.length > 62 ? [{ row: 0, length: 102 }] : []);
  }
  const waste = results.reduce((sum, { receipt }) => sum + receipt.paddingWaste, 0) / results.length;
  expect(waste).toBeLessThan(0.1);
});

test('texts that arrive while batches are computed share the next batch', async () => {
  const { encoder, finish } = heldEncoder({ concurrency: 1 });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const calls = [embedder.embed('first')];
  await turns();
  calls.push(embedder.embed('second'));
  await turns();
  for (const text of ['third', 'fourth', 'fifth']) {
    calls.push(embedder.embed(text));
    await turns();
  }
  expect(rowsOf(encoder.calls.batches)).toEqual([1, 1]);
  await finish();
  expect(rowsOf(encoder.calls.batches)).toEqual([1, 1, 3]);
  await finish();
  await finish();
  await Promise.all(calls);
});

test('texts with other settings, and those with shareBatches: false, do not share a batch', async () => {
  const { encoder, finish } = heldEncoder({ concurrency: 1 });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const busy = embedder.embed(words(200));
  await turns();
  const own = words(3);
  const calls = [
    embedder.embed('a'),
    embedder.embed('b', { truncateDim: 2 }),
    embedder.embed('c', { batchTokens: 64 }),
    embedder.embed(own, { shareBatches: false }),
    embedder.embed('d'),
  ];
  for (let batch = 0; batch < 60; batch += 1) await Promise.race([finish().catch(() => {}), busy]);
  await Promise.all([busy, ...calls]);
  const mixed = encoder.calls.batches.filter(({ ids }) => ids.includes(97) && ids.includes(100) && ids.length < 20);
  expect(mixed.map(({ rows }) => rows)).toEqual([2]); // 'a' and 'd'
  const alone = fakeEncoder({ concurrency: 1 });
  await createEmbedder(fakeParts({ encoder: alone })).embed(own, { shareBatches: false });
  expect(encoder.calls.batches.map(({ ids }) => ids)).toContainEqual(alone.calls.batches[0]!.ids);
});

test('aborting one call does not affect the others; aborting all calls aborts their batch', async () => {
  const signals: AbortSignal[] = [];
  const { encoder, finish } = heldEncoder({ concurrency: 1 });
  const encode: Encoder['encode'] = (batch, options) => {
    signals.push(options!.signal!);
    return encoder.encode(batch, options);
  };
  const embedder = createEmbedder(fakeParts({ encoder: { ...encoder, encode } }));
  const controllers = Array.from({ length: 3 }, () => new AbortController());
  const start = (): Promise<Embedded>[] =>
    controllers.map(({ signal }, index) => embedder.embed(`text ${index}`, { signal }));
  const [first, second, third] = start();
  await turns();
  expect(rowsOf(encoder.calls.batches)).toEqual([3]);
  controllers[1]!.abort();
  await expect(second).rejects.toMatchObject({ code: 'aborted' });
  expect(signals[0]!.aborted).toBe(false);
  await finish();
  expectVector(await first!, 'text 0');
  expectVector(await third!, 'text 2');
  controllers[1] = new AbortController();
  const again = start();
  await turns();
  for (const controller of controllers) controller.abort();
  for (const call of again) await expect(call).rejects.toMatchObject({ code: 'aborted' });
  expect(signals.at(-1)!.aborted).toBe(true);
});

test('a text that makes its batch fail, or whose vector is NaN, fails only its own call', async () => {
  const poison = 'p'.charCodeAt(0);
  const infinite = 'i'.charCodeAt(0);
  const encoder = fakeEncoder({
    encode: async (batch) => {
      if (batch.ids.includes(poison)) throw new Error('out of memory');
      const vectors = tokenVectors(batch);
      for (const [position, id] of batch.ids.entries()) if (id === infinite) vectors.data[position * 4] = NaN;
      return vectors;
    },
  });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const texts = ['good', 'p', 'better', 'best', 'i'];
  const results = await Promise.allSettled(texts.map((text) => embedder.embed(text)));
  for (const index of [0, 2, 3]) {
    const result = results[index]!;
    if (result.status === 'rejected') throw result.reason;
    expectVector(result.value, texts[index]!);
  }
  expect(results[1]).toMatchObject({ reason: { code: 'backend-failed', message: /row 0 failed: out of memory/u } });
  expect(results[4]).toMatchObject({ reason: { code: 'backend-failed', message: /row 0 has entries/u } });
});

test('embedders with the same encoder take turns, and share batches if they have the same head', async () => {
  const { encoder, finish } = heldEncoder({ concurrency: 1 });
  const parts = fakeParts({ encoder });
  const [one, other] = [createEmbedder(parts), createEmbedder({ ...parts, maxLength: 8 })];
  const calls = [one.embed('first'), other.embed('second')];
  await turns();
  expect(rowsOf(encoder.calls.batches)).toEqual([2]);
  const large = [one.embed(words(200)), other.embed(words(200))];
  await turns();
  await finish();
  await Promise.all(calls);
  expect(encoder.calls.maxRunning).toBe(2);
  const ended: unknown[] = [];
  for (const call of large) void call.then((result) => ended.push(result));
  while (ended.length < 2) await finish();
});

test('small calls do not wait until a large one has finished, and the large one makes progress between small ones', async () => {
  const { encoder, finish } = heldEncoder({ concurrency: 1 });
  const embedder: Embedder = createEmbedder(fakeParts({ encoder }));
  await embedder.fingerprint(); // Receipts need it, and another thread hashes.
  let large = 0;
  const done: string[] = [];
  const whole = embedder.embed(words(400), { onProgress: ({ rows }) => (large = rows) }).then(() => done.push('large'));
  await turns();
  const inLine = encoder.calls.batches.length;
  const small = words(40, 3).map((text) => embedder.embed(text.slice(0, 7)).then(() => done.push('small')));
  await turns();
  let batches = 0;
  for (; done.length < 40; batches += 1) await finish();
  expect(done).not.toContain('large');
  const ofSmall = encoder.calls.batches.filter(({ cols }) => cols === 9).length;
  expect(batches).toBeLessThanOrEqual(inLine + 2 * ofSmall); // They take turns.
  expect(large).toBeGreaterThan(0);
  await Promise.all(small);
  while (!done.includes('large')) await finish();
  await whole;
});

test('a few texts are spread over idle sessions; the batches of a large call do not depend on other calls', async () => {
  const encoder = fakeEncoder({ concurrency: 2, batchTokens: 512 });
  const embedder = createEmbedder(fakeParts({ encoder }));
  await embedder.embed(words(16)); // 16 × 12 positions
  expect(rowsOf(encoder.calls.batches)).toEqual([8, 8]);
  await embedder.embed(words(2));
  expect(rowsOf(encoder.calls.batches)).toEqual([8, 8, 2]);
  encoder.calls.batches.length = 0;
  const texts = words(420);
  await Promise.all([
    embedder.embed(texts, { shareBatches: false }),
    ...words(30, 5).map((text) => embedder.embed(text)),
  ]);
  const beside = encoder.calls.batches.map(({ ids }) => ids.join(' '));
  encoder.calls.batches.length = 0;
  await embedder.embed(texts, { shareBatches: false });
  for (const { ids } of encoder.calls.batches) expect(beside).toContain(ids.join(' '));
});
