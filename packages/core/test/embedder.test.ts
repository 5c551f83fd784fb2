import {
  createEmbedder,
  createPooling,
  SentvecError,
  type Embedder,
  type Encoder,
  type Receipt,
  type StreamedVector,
} from '@sentvec/core';
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { characterTokenizer, expectedMean, fakeEncoder, fakeParts, tokenVectors } from './fake-parts.ts';

/** Reproducible texts of 1 to 80 letters, some of them long. */
function randomTexts(count: number, seed = 7): string[] {
  let state = seed;
  const next = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + Math.floor(next() ** 3 * 80) }, () =>
      String.fromCharCode(97 + Math.floor(next() * 26)),
    ).join(''),
  );
}

function rowOf(vectors: { data: Float32Array; cols: number }, row: number): number[] {
  return [...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols)];
}

async function collect(embedder: Embedder, texts: AsyncIterable<string> | Iterable<string>): Promise<StreamedVector[]> {
  const results: StreamedVector[] = [];
  for await (const result of embedder.embedStream(texts)) results.push(result);
  return results;
}

test('each text gets its own vector in the order of the texts, in whatever batch it was', async () => {
  const texts = randomTexts(5000);
  const encoder = fakeEncoder();
  const { vectors, receipt } = await createEmbedder(fakeParts({ encoder })).embed(texts);
  expect([vectors.rows, vectors.cols]).toEqual([5000, 4]);
  for (const [row, text] of texts.entries()) {
    const expected = expectedMean(text);
    for (const [index, value] of rowOf(vectors, row).entries())
      expect(Math.abs(value - expected[index]!)).toBeLessThan(1e-3 * (1 + expected[index]!));
  }
  const lengths = texts.map((text) => text.length + 2);
  expect(receipt.rows).toBe(5000);
  expect(receipt.tokens).toBe(lengths.reduce((sum, length) => sum + Math.min(length, 64), 0));
  expect(receipt.truncated).toEqual(lengths.flatMap((length, row) => (length > 64 ? [{ row, length }] : [])));
  const positions = encoder.calls.batches.reduce((sum, batch) => sum + batch.rows * batch.cols, 0);
  expect(receipt.paddingWaste).toBeCloseTo(1 - receipt.tokens / positions, 12);
  expect(receipt.paddingWaste).toBeLessThan(0.05);
  for (const batch of encoder.calls.batches) expect(batch.rows === 1 || batch.rows * batch.cols <= 128).toBe(true);
});

test('all calls together have twice as many batches in flight as the encoder computes at once', async () => {
  const encoder = fakeEncoder();
  const embedder = createEmbedder(fakeParts({ encoder }));
  await Promise.all([embedder.embed(randomTexts(500)), embedder.embed(randomTexts(500, 8))]);
  expect(encoder.calls.maxRunning).toBe(4);
});

test('a stream gives the same vectors as embed, in order', async () => {
  // No text twice, as in a set.
  const texts = [...new Set(randomTexts(6000))];
  expect(texts.length).toBeGreaterThan(4096);
  const embedder = createEmbedder(fakeParts());
  const { vectors } = await embedder.embed(texts);
  async function* source(): AsyncGenerator<string> {
    yield* texts;
  }
  for (const input of [source(), texts, new Set(texts)]) {
    const results = await collect(embedder, input);
    expect(results.map(({ row, text }) => [row, text])).toEqual(texts.map((text, row) => [row, text]));
    for (const { row, vector, tokens, truncated } of results) {
      expect([...vector]).toEqual(rowOf(vectors, row));
      expect(tokens).toBe(Math.min(64, texts[row]!.length + 2));
      expect(truncated).toBe(texts[row]!.length > 62);
    }
  }
});

describe('a source that stalls', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([
    ['100 ms', undefined, 100],
    ['maxWait', { maxWait: 5000 }, 5000],
  ])('has its texts embedded after %s, and later texts when it continues', async (_, options, wait) => {
    let [stall, goOn] = [(): void => {}, (): void => {}];
    const stalled = new Promise<void>((resolve) => (stall = resolve));
    const goneOn = new Promise<void>((resolve) => (goOn = resolve));
    async function* source(): AsyncGenerator<string> {
      yield* ['a', 'bc'];
      stall();
      await goneOn;
      yield 'd';
    }
    const encoder = fakeEncoder({ delay: async () => {} });
    const rows: [number, string][] = [];
    const consume = async (): Promise<void> => {
      const stream = createEmbedder(fakeParts({ encoder })).embedStream(source(), options);
      for await (const { row, text, vector } of stream) {
        expect([...vector]).toEqual([...Float32Array.from(expectedMean(text))]);
        rows.push([row, text]);
      }
    };
    /** Turns of the event loop, in which no time passes. */
    const turnsUntil = async (count: number): Promise<void> => {
      for (let turn = 0; turn < 200 && rows.length < count; turn += 1)
        await new Promise((resolve) => void setImmediate(resolve));
    };
    const consumed = consume();
    await stalled;
    await vi.advanceTimersByTimeAsync(wait - 1);
    await turnsUntil(1);
    expect(rows).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    await turnsUntil(2);
    expect(rows).toEqual([
      [0, 'a'],
      [1, 'bc'],
    ]);
    goOn();
    await consumed;
    expect(rows.slice(2)).toEqual([[2, 'd']]);
  });
});

test('no texts give no vectors', async () => {
  const embedder = createEmbedder(fakeParts());
  const { vectors, receipt } = await embedder.embed([]);
  expect(vectors).toEqual({ data: new Float32Array(0), rows: 0, cols: 4 });
  expect(receipt).toMatchObject({ rows: 0, tokens: 0, truncated: [], paddingWaste: 0 });
  expect(await collect(embedder, [])).toEqual([]);
});

test('a stream reads at most two windows ahead, and closes its source when the consumer stops', async () => {
  const embedder = createEmbedder(fakeParts());
  let read = 0;
  let closed = false;
  async function* endless(): AsyncGenerator<string> {
    try {
      for (;;) yield `text ${(read += 1)}`;
    } finally {
      closed = true;
    }
  }
  let taken = 0;
  for await (const { row } of embedder.embedStream(endless())) {
    expect(read - row).toBeLessThanOrEqual(2 * 2048);
    if ((taken += 1) === 5000) break;
  }
  expect(closed).toBe(true);
});

test('a failing source ends the stream with its error, after the windows before it', async () => {
  async function* failing(): AsyncGenerator<string> {
    for (let index = 0; index < 3000; index += 1) yield `text ${index}`;
    throw new Error('the disk is gone');
  }
  let rows = 0;
  const consume = async (): Promise<void> => {
    for await (const { row } of createEmbedder(fakeParts()).embedStream(failing())) rows = row + 1;
  };
  await expect(consume()).rejects.toThrow('the disk is gone');
  expect(rows).toBe(2048);
});

test('a value that is not a string is refused with its row', async () => {
  const embedder = createEmbedder(fakeParts());
  const texts = ['a', 'b', null, 'c'] as string[];
  await expect(embedder.embed(texts)).rejects.toMatchObject({
    code: 'invalid-text',
    details: { row: 2 },
    message: /Row 2 is null/u,
  });
  await expect(collect(embedder, texts)).rejects.toMatchObject({ code: 'invalid-text', details: { row: 2 } });
  await expect(embedder.embed(['a', 7 as unknown as string])).rejects.toMatchObject({
    details: { row: 1 },
    message: /number/u,
  });
});

test('one text gives one vector; other arguments are refused with a message that says what is expected', async () => {
  const embedder = createEmbedder(fakeParts());
  const { vector, vectors, receipt } = await embedder.embed('abc');
  expect([...vector]).toEqual(rowOf((await embedder.embed(['abc'])).vectors, 0));
  expect([vectors.rows, receipt.rows]).toEqual([1, 1]);
  for (const texts of [null, undefined, 5, {}, new Set(['a'])] as unknown as string[][]) {
    await expect(embedder.embed(texts)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: /^embed\(\) takes texts as an array, not/u,
    });
  }
  // @ts-expect-error -- A string is an iterable of characters, which is never what a caller wants.
  const stream = embedder.embedStream('abc');
  await expect(collect({ ...embedder, embedStream: () => stream }, [])).rejects.toMatchObject({
    code: 'invalid-argument',
    message: /^embedStream\(\) takes an iterable or async iterable of texts, not of type string\. .* embed\(\)/u,
  });
  for (const texts of [null, undefined, 5, {}] as unknown as string[][])
    await expect(collect(embedder, texts)).rejects.toMatchObject({ code: 'invalid-argument' });
});

test('an array that changes during the embedding does not change the result', async () => {
  const texts = randomTexts(100);
  const embedder = createEmbedder(fakeParts());
  const expected = (await embedder.embed([...texts])).vectors;
  const embedding = embedder.embed(texts);
  texts.fill('another', 50);
  texts.push('one more');
  expect((await embedding).vectors).toEqual(expected);
});

test('a text without any token is refused with its row', async () => {
  const embedder = createEmbedder(fakeParts({ addSpecialTokens: false }));
  await expect(embedder.embed(['a', '  ', 'b', ''])).rejects.toMatchObject({
    code: 'invalid-text',
    details: { row: 1, rows: [1, 3] },
  });
  const { vectors } = await createEmbedder(fakeParts()).embed(['']);
  expect(rowOf(vectors, 0)).toEqual(expectedMean(''));
});

test('a prompt is chosen by name, given as text, the default one, or none', async () => {
  const embedder = createEmbedder(fakeParts({ prompts: { query: 'q: ', passage: 'p: ' }, defaultPrompt: 'passage' }));
  const first = async (options: Parameters<Embedder['embed']>[1]): Promise<number[]> =>
    rowOf((await embedder.embed(['x'], options)).vectors, 0);
  const close = (text: string): number[] => expectedMean(text).map((value) => Math.fround(value));
  expect(await first({ prompt: 'query' })).toEqual(close('q: x'));
  expect(await first({})).toEqual(close('p: x'));
  expect(await first({ prompt: null })).toEqual(close('x'));
  expect(await first({ promptText: 'mine: ' })).toEqual(close('mine: x'));
  await expect(first({ prompt: 'nope' })).rejects.toMatchObject({
    code: 'invalid-argument',
    message: /"nope".*"query", "passage"/u,
  });
  await expect(first({ prompt: 'toString' })).rejects.toMatchObject({ code: 'invalid-argument' });
  await expect(first({ prompt: 'query', promptText: 'q' })).rejects.toMatchObject({ code: 'invalid-argument' });
});

test('a prompt can be left out of the pooling', async () => {
  const head = { pooling: createPooling('mean', { includePrompt: false }), projections: [] };
  const embedder = createEmbedder(fakeParts({ head, prompts: { query: 'ab', empty: '' } }));
  const meanPosition = async (prompt: string | null): Promise<number> =>
    rowOf((await embedder.embed(['xy'], { prompt })).vectors, 0)[1]!;
  expect(await meanPosition('query')).toBe((3 + 4 + 5) / 3);
  expect(await meanPosition('empty')).toBe((0 + 1 + 2 + 3) / 4);
  expect(await meanPosition(null)).toBe((0 + 1 + 2 + 3) / 4);
});

test('vectors are truncated with truncateDim, and normalized only with normalize', async () => {
  const plain = createEmbedder(fakeParts({ truncateDim: 3 }));
  const first = async (embedder: Embedder, options?: Parameters<Embedder['embed']>[1]): Promise<number[]> => [
    ...(await embedder.embed('abc', options)).vector,
  ];
  expect(await first(plain)).toEqual(expectedMean('abc').slice(0, 3).map(Math.fround));
  expect(await first(plain, { truncateDim: 2 })).toEqual(expectedMean('abc').slice(0, 2).map(Math.fround));
  expect(await first(plain, { truncateDim: 4 })).toHaveLength(4);
  const normalizing = createEmbedder(
    fakeParts({ head: { pooling: createPooling('mean'), projections: [{ kind: 'normalize' }] } }),
  );
  const whole = await first(normalizing);
  expect(Math.hypot(...whole)).toBeCloseTo(1, 6);
  // Like sentence-transformers 6.1, truncation does not normalize again.
  expect(await first(normalizing, { truncateDim: 2 })).toEqual(whole.slice(0, 2));
  const length = Math.hypot(whole[0]!, whole[1]!);
  const normalized = await first(normalizing, { truncateDim: 2, normalize: true });
  expect(normalized[0]).toBeCloseTo(whole[0]! / length, 6);
  expect(normalized[1]).toBeCloseTo(whole[1]! / length, 6);
  expect(Math.hypot(...(await first(plain, { normalize: true })))).toBeCloseTo(1, 6);
  for (const truncateDim of [0, 5, 1.5, Number.NaN])
    await expect(plain.embed(['a'], { truncateDim })).rejects.toMatchObject({ code: 'invalid-argument' });
});

test('uses encodePooled of the backend if there is one, with the pooling mask', async () => {
  const encodePooled = vi.fn<NonNullable<Encoder['encodePooled']>>(async (batch, head) =>
    head.projections.length === 0
      ? { data: new Float32Array(batch.rows * 4).fill(7), rows: batch.rows, cols: 4 }
      : undefined,
  );
  const head = { pooling: createPooling('mean', { includePrompt: false }), projections: [] };
  const embedder = createEmbedder(fakeParts({ encoder: fakeEncoder({ encodePooled }), head }));
  expect(rowOf((await embedder.embed(['ab'], { promptText: 'q' })).vectors, 0)).toEqual([7, 7, 7, 7]);
  expect(encodePooled.mock.calls[0]).toMatchObject([
    { mask: Int32Array.of(1, 1, 1, 1, 1) },
    head,
    { poolingMask: Int32Array.of(0, 0, 1, 1, 1) },
  ]);
  expect(rowOf((await embedder.embed(['ab'], { truncateDim: 2 })).vectors, 0)).toEqual(
    expectedMean('ab').slice(0, 2).map(Math.fround),
  );
  const heads = encodePooled.mock.calls.map((call) => call[1]);
  await embedder.embed(['ab'], { truncateDim: 2 });
  expect(encodePooled.mock.calls.at(-1)![1]).toBe(heads.at(-1));
});

test('a vector that is not finite is an error with its row', async () => {
  const encoder = fakeEncoder({
    encode: async (batch) => {
      const vectors = tokenVectors(batch);
      for (let row = 0; row < batch.rows; row += 1)
        if (batch.ids[row * batch.cols + 1] === 33) vectors.data[row * batch.cols * 4] = Number.NaN;
      return vectors;
    },
  });
  const texts = randomTexts(3000);
  texts[2500] = '!';
  await expect(createEmbedder(fakeParts({ encoder })).embed(texts)).rejects.toMatchObject({
    code: 'backend-failed',
    details: { row: 2500 },
  });
});

test('every failure of an encoder is a SentvecError, and leaves no unhandled rejection', async () => {
  const encoder = fakeEncoder({ encode: () => Promise.reject(new TypeError('no device')) });
  const failure = createEmbedder(fakeParts({ encoder })).embed(randomTexts(3000));
  await expect(failure).rejects.toMatchObject({ code: 'backend-failed', message: /no device/u });
  const wrongShape = fakeEncoder({ encode: async () => ({ data: new Float32Array(4), rows: 1, cols: 4 }) });
  await expect(createEmbedder(fakeParts({ encoder: wrongShape })).embed(['ab'])).rejects.toMatchObject({
    code: 'backend-failed',
  });
});

test('an abort rejects at once, even if a batch never finishes', async () => {
  const encoder = fakeEncoder({ delay: () => new Promise(() => {}) });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const controller = new AbortController();
  const embedding = embedder.embed(randomTexts(100), { signal: controller.signal });
  const streaming = (async () => {
    for await (const _ of embedder.embedStream(randomTexts(100), { signal: controller.signal }))
      throw new Error('unexpected');
  })();
  setTimeout(() => controller.abort(new Error('enough')), 10);
  const failures = await Promise.allSettled([embedding, streaming]);
  for (const failure of failures)
    expect(failure).toMatchObject({ reason: { code: 'aborted', cause: { message: 'enough' } } });
  await expect(embedder.embed(['a'], { signal: controller.signal })).rejects.toMatchObject({ code: 'aborted' });
});

test('other calls continue after one was aborted', async () => {
  const blocked: (() => void)[] = [];
  const encoder = fakeEncoder({ concurrency: 1, delay: () => new Promise((resolve) => blocked.push(resolve)) });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const controller = new AbortController();
  const aborted = embedder.embed(randomTexts(500), { signal: controller.signal });
  const other = embedder.embed(['ab']);
  setTimeout(() => controller.abort(), 5);
  await expect(aborted).rejects.toMatchObject({ code: 'aborted' });
  const release = setInterval(() => blocked.splice(0).forEach((resolve) => resolve()), 1);
  expect((await other).vectors.rows).toBe(1);
  clearInterval(release);
});

test('await using disposes the embedder', async () => {
  const encoder = fakeEncoder();
  let kept: Embedder;
  {
    await using embedder = createEmbedder(fakeParts({ encoder }));
    await embedder.embed('a');
    kept = embedder;
  }
  expect(encoder.calls.disposed).toBe(1);
  await expect(kept.embed('a')).rejects.toMatchObject({ code: 'disposed' });
});

test('each receipt is also given to onReceipt', async () => {
  const receipts: Receipt[] = [];
  const embedder = createEmbedder(fakeParts({ onReceipt: (receipt) => receipts.push(receipt) }));
  const { receipt } = await embedder.embed(['a', 'b']);
  await embedder.embed([7 as unknown as string]).catch(() => {});
  expect(receipts).toEqual([receipt]);
});

test('dispose may be called twice; running and later calls fail', async () => {
  const encoder = fakeEncoder({ delay: () => new Promise(() => {}) });
  const embedder = createEmbedder(fakeParts({ encoder }));
  const running = embedder.embed(['a']);
  running.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 5));
  await Promise.all([embedder.dispose(), embedder.dispose()]);
  await expect(running).rejects.toMatchObject({ code: 'disposed' });
  expect(encoder.calls.disposed).toBe(1);
  for (const use of [embedder.embed(['a']), collect(embedder, ['a']), embedder.fingerprint()]) {
    await expect(use).rejects.toMatchObject({ code: 'disposed' });
  }
});

test('progress counts rows and tokens up to the end', async () => {
  const reports: { rows: number; tokens: number }[] = [];
  const { receipt } = await createEmbedder(fakeParts()).embed(randomTexts(300), {
    onProgress: (progress) => reports.push(progress),
  });
  expect(reports.at(-1)).toEqual({ rows: 300, tokens: receipt.tokens });
  expect(reports.every(({ rows }, index) => index === 0 || rows > reports[index - 1]!.rows)).toBe(true);
});

test('invalid arguments are refused', async () => {
  for (const maxLength of [65, 10.5, Number.NaN])
    expect(() => createEmbedder(fakeParts({ maxLength }))).toThrow(SentvecError);
  await expect(createEmbedder(fakeParts()).embed(['a'], { batchTokens: 0 })).rejects.toMatchObject({
    code: 'invalid-argument',
  });
  expect(
    (await createEmbedder(fakeParts({ tokenizer: characterTokenizer() })).embed(['abc'], { batchTokens: 1 })).vectors
      .rows,
  ).toBe(1);
});
