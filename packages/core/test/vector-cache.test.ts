import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEmbedder, SentvecError, type Encoder } from '@sentvec/core';
import { cachedEmbedder, openVectorCache } from '@sentvec/core/node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { paddedLength, planBatches } from '../src/embedder/batching.ts';
import { fakeEncoder, fakeParts } from './fake-parts.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sentvec-vectors-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/**
 * An embedder that counts the texts that it computes. `changed` is added to its vectors, like by another version of a
 * backend.
 */
function countingEmbedder({ changed = 0, dependsOnBatch = false } = {}) {
  const inner = fakeEncoder();
  let rows = 0;
  const encoder: Encoder = {
    ...inner,
    encode: async (batch, options) => {
      rows += batch.rows;
      const tokens = await inner.encode(batch, options);
      const added = changed + (dependsOnBatch ? batch.rows : 0);
      return { ...tokens, data: tokens.data.map((value) => value + added) };
    },
  };
  return { embedder: createEmbedder(fakeParts({ encoder })), computed: () => rows };
}

const texts = Array.from({ length: 300 }, (_, index) => `text ${index} ${'x'.repeat(index % 50)}`);
/** The number of texts that the cache computes to test a backend when it is first used. */
const probes = 4;

describe('cachedEmbedder()', () => {
  it('computes only new texts and returns the bits and the receipt of an embedder without a cache', async () => {
    const directory = join(folder, 'plain');
    const long = [...texts, 'y'.repeat(200), texts[3]!];
    const expected = await countingEmbedder().embedder.embed(long, { shareBatches: false });
    const use = async (batch: readonly string[]) => {
      const { embedder, computed } = countingEmbedder();
      const cached = cachedEmbedder(embedder, await openVectorCache(directory));
      const result = await cached.embed(batch);
      await cached.dispose();
      return { result, computed: computed() - probes };
    };
    const first = await use(long);
    expect(first.computed).toBe(301);
    const second = await use(long);
    expect(second.computed).toBe(3); // These texts are computed to compare them with stored vectors.
    for (const { vectors, receipt } of [first.result, second.result]) {
      expect(vectors).toEqual(expected.vectors);
      const { milliseconds: _, paddingWaste: __, ...counted } = expected.receipt;
      expect(receipt).toMatchObject(counted);
    }
    expect(second.result.receipt.truncated).toEqual([{ row: 300, length: 202 }]);
    const changed = long.map((text, row) => (row % 100 === 7 ? `new ${row}` : text));
    const third = await use(changed);
    expect(third.computed).toBe(3 + 3);
    expect(third.result.vectors).toEqual((await countingEmbedder().embedder.embed(changed)).vectors);
  });

  it('separates fingerprints, ignores damaged entries, and discards entries when the backend gives other vectors', async () => {
    const directory = join(folder, 'damaged');
    const use = async (options = {}, changed = 0) => {
      const { embedder, computed } = countingEmbedder({ changed });
      const cached = cachedEmbedder(embedder, await openVectorCache(directory));
      const { vectors } = await cached.embed(texts, options);
      await cached.dispose();
      return { data: vectors.data, computed: computed() - probes };
    };
    const { data } = await use();
    expect((await use({ promptText: 'query: ' })).computed).toBe(300);
    for (const name of await readdir(directory, { recursive: true })) {
      if (!name.endsWith('.vectors')) continue;
      const bytes = await readFile(join(directory, name));
      bytes[bytes.length - 1]! ^= 1;
      await writeFile(join(directory, name), bytes);
    }
    expect(await use()).toEqual({ data, computed: 1 + 3 });
    const changed = await use({}, 0.5);
    expect(changed.computed).toBe(3 + 1 + 300); // Three samples of the first file, one of the second, and all texts.
    expect(changed.data).not.toEqual(data);
    expect(await use({}, 0.5)).toEqual({ data: changed.data, computed: 3 });
  });

  it('discards vectors of an earlier version even when later entries match', async () => {
    const directory = join(folder, 'versions');
    const use = async (batch: readonly string[], changed: number) => {
      const cached = cachedEmbedder(countingEmbedder({ changed }).embedder, await openVectorCache(directory));
      const { vectors } = await cached.embed(batch);
      await cached.dispose();
      return vectors;
    };
    await use(texts.slice(0, 50), 0);
    await use(texts.slice(50, 100), 0.5);
    const both = [...texts.slice(50, 100), ...texts.slice(0, 50)];
    expect(await use(both, 0.5)).toEqual((await countingEmbedder({ changed: 0.5 }).embedder.embed(both)).vectors);
  });

  it('finds vectors that another process wrote in the meantime', async () => {
    const directory = join(folder, 'fleet');
    const [one, other] = [countingEmbedder(), countingEmbedder()];
    const firstEmbedder = cachedEmbedder(one.embedder, await openVectorCache(directory));
    await firstEmbedder.embed(texts.slice(0, 10));
    const secondEmbedder = cachedEmbedder(other.embedder, await openVectorCache(directory));
    await secondEmbedder.embed(texts.slice(10, 200));
    await secondEmbedder.dispose();
    const now = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 10_000);
    const { vectors } = await firstEmbedder.embed(texts.slice(0, 200));
    now.mockRestore();
    expect(one.computed()).toBe(probes + 10 + 3); // Three texts are computed to compare them with stored vectors.
    expect(vectors).toEqual((await countingEmbedder().embedder.embed(texts.slice(0, 200))).vectors);
    await firstEmbedder.dispose();
  });

  it('checks options and signal when all texts are cached, and returns no rows for no texts', async () => {
    const { embedder } = countingEmbedder();
    const cached = cachedEmbedder(embedder, await openVectorCache(join(folder, 'refusals')));
    await cached.embed(texts);
    expect((await cached.embed([])).vectors).toMatchObject({ rows: 0, cols: embedder.dimension });
    await expect(cached.embed(texts, { trucateDim: 2 } as object)).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(cached.embed(texts, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    await cached.dispose();
    await expect(cached.embed(texts)).rejects.toMatchObject({ code: 'disposed' });
  });

  it('stays within maxBytes, and several embedders can use a cache concurrently', async () => {
    const directory = join(folder, 'bounded');
    const entry = 16 + 4 + 8 + 4 * 4;
    for (let part = 0; part < 3; part += 1) {
      const cached = cachedEmbedder(
        countingEmbedder().embedder,
        await openVectorCache(directory, { maxBytes: 250 * entry }),
      );
      await cached.embed(texts.slice(part * 100, part * 100 + 100));
      await cached.dispose();
    }
    const names = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.vectors'));
    expect(names).toHaveLength(2);
    const shared = join(folder, 'shared');
    const expected = (await countingEmbedder().embedder.embed(texts)).vectors;
    const results = await Promise.all(
      [0, 1, 2].map(async () => {
        const cached = cachedEmbedder(countingEmbedder().embedder, await openVectorCache(shared));
        const { vectors } = await cached.embed(texts);
        await cached.dispose();
        return vectors;
      }),
    );
    for (const vectors of results) expect(vectors).toEqual(expected);
  });

  it('refuses a backend whose vectors depend on the batch, and a value that is not a string', async () => {
    const cache = await openVectorCache(join(folder, 'refused'));
    const dependent = cachedEmbedder(countingEmbedder({ dependsOnBatch: true }).embedder, cache);
    await expect(dependent.embed(['a text'])).rejects.toMatchObject({ code: 'backend-unavailable' });
    const cached = cachedEmbedder(countingEmbedder().embedder, cache);
    await expect(cached.embed(['a', 5 as unknown as string])).rejects.toMatchObject({
      code: 'invalid-text',
      details: { row: 1 },
    });
    expect((await cached.embed('a')).vector).toHaveLength(4);
    await expect(openVectorCache(folder, { maxBytes: 0 })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

it('paddedLength() rounds a length up, at most to the positions of the model, so that batches do not change vectors', () => {
  expect([1, 2, 63, 64, 65, 127, 129, 500].map((length) => paddedLength(length, 512))).toEqual([
    1, 2, 63, 64, 66, 128, 132, 504,
  ]);
  expect([paddedLength(509, 510), paddedLength(511, 510)]).toEqual([510, 511]);
  const lengths = [65, 70, 66, 3, 65, 3];
  const batches = planBatches(
    lengths.map((length) => paddedLength(length, 512)),
    512,
    0,
  );
  expect(batches).toEqual([[1], [0, 2, 4], [3, 5]]);
});

describe('calls at once', () => {
  it('compute what they do not find together, and each gets its own, also when they fail together', async () => {
    const directory = join(folder, 'together');
    const { embedder } = countingEmbedder();
    const embedStream = embedder.embedStream.bind(embedder);
    const computing = vi.spyOn(embedder, 'embedStream');
    const cached = cachedEmbedder(embedder, await openVectorCache(directory));
    await cached.embed(texts.slice(0, 1)); // Opens the space.
    computing.mockClear();
    const parts = Array.from({ length: 10 }, (_, index) => texts.slice(10 * index, 10 * index + 12));
    const done: number[] = [];
    const results = await Promise.all(
      parts.map((part) => cached.embed(part, { onProgress: ({ rows }) => void done.push(rows) })),
    );
    expect(computing).toHaveBeenCalledTimes(3); // Two that begin at once, then all others together.
    for (const [index, part] of parts.entries())
      expect(results[index]!.vectors).toEqual((await embedder.embed(part, { shareBatches: false })).vectors);
    expect(done.filter((rows) => rows === 12).length).toBeGreaterThanOrEqual(10);

    // A group that fails is computed call by call.
    computing.mockImplementation((asked, options) => {
      if ((asked as readonly string[]).length > 12) throw new SentvecError('backend-failed', 'Too many.');
      return embedStream(asked, options);
    });
    const abort = new AbortController();
    const call = (from: number, signal?: AbortSignal) => cached.embed(texts.slice(from, from + 10), { signal });
    const calls = [call(120), call(140), call(160), call(180, abort.signal), call(200)];
    setImmediate(() => abort.abort());
    const settled = await Promise.allSettled(calls);
    for (const [index, from] of [120, 140, 160, undefined, 200].entries()) {
      if (from === undefined) continue;
      const { vectors } = await embedder.embed(texts.slice(from, from + 10), { shareBatches: false });
      expect(settled[index]).toMatchObject({ status: 'fulfilled', value: { vectors } });
    }
    await cached.dispose();
  });
});
