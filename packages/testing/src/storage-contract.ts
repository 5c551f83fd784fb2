/** The contract suite of stores of files. */
import { SentvecError } from '@sentvec/core';
import type { ListedFile, Storage } from '@sentvec/storage';
import { describe, expect, it } from 'vitest';

/** What the contract has to know about a store. */
export interface StorageContractOptions {
  /**
   * Why the store can only read: then it is not asked to write.
   * @default it can do all
   */
  readonly readOnly?: string | undefined;
  /**
   * Why the store cannot list: then it is not asked to.
   * @default it can
   */
  readonly unlistable?: string | undefined;
  /**
   * What writes the files, for a store that cannot.
   * @default the store itself
   */
  readonly writer?: ((storage: Storage) => Pick<Storage, 'write'>) | undefined;
  /**
   * Bytes of a stream that is written at once, enough for several parts where the store has parts.
   * @default 3 MiB
   */
  readonly streamBytes?: number | undefined;
}

/** Keys that are hard on URLs, on XML and on globs. No file system of a common kind refuses them. */
const oddKeys = [
  'ä b+c=%.bin',
  'a%41',
  'x&y<z>"\'',
  '#frag?query',
  '[1]*{2}',
  '日本/語',
  'trailing space ',
  '~!@$^()_-,;',
];

/**
 * A vitest suite that every store must pass; call it at the top level of a test file.
 * @param open a store without files, another one at each call
 */
export function storageContract(
  name: string,
  open: () => Promise<Storage>,
  options: StorageContractOptions = {},
): void {
  const { readOnly, unlistable, streamBytes = 3 << 20, writer = (storage: Storage) => storage } = options;

  const limits = [readOnly, unlistable].filter((reason) => reason !== undefined);
  describe(`storage contract of ${name}${limits.length === 0 ? '' : ` (${limits.join('; ')})`}`, () => {
    it('reads whole files, and ranges of bytes', async () => {
      const storage = await open();
      await writer(storage).write('a/digits', '0123456789');
      const text = async (range: { readonly start?: number; readonly end?: number }): Promise<string> =>
        Buffer.from(await storage.read('a/digits', range)).toString();
      expect(
        await Promise.all([{}, { start: 2, end: 5 }, { start: 7 }, { end: 1 }, { start: 9, end: 10 }].map(text)),
      ).toEqual(['0123456789', '234', '789', '0', '9']);
      expect(await Promise.all([{ start: 4, end: 4 }, { start: 10 }, { start: 0, end: 0 }].map(text))).toEqual([
        '',
        '',
        '',
      ]);
      expect(await storage.stat('a/digits')).toEqual({ bytes: 10, version: expect.stringMatching(/./u) as string });
    });

    it('gives exactly the range, or says that the file is not so long', async () => {
      const storage = await open();
      await writer(storage).write('short', 'abc');
      for (const range of [{ start: 1, end: 4 }, { start: 5, end: 7 }, { start: 4 }]) {
        expect(await failure(() => storage.read('short', range))).toMatchObject({
          code: 'io-failed',
          details: { changed: true },
        });
      }
      for (const range of [{ start: -1 }, { start: 2, end: 1 }, { start: 0.5 }, { end: Number.NaN }]) {
        expect(await failure(() => storage.read('short', range))).toMatchObject({ code: 'invalid-argument' });
      }
    });

    it('reads empty files', async () => {
      const storage = await open();
      await writer(storage).write('empty', '');
      expect(await storage.read('empty')).toHaveLength(0);
      expect(await storage.stat('empty')).toMatchObject({ bytes: 0 });
    });

    it('tells a file that is not there from one that is', async () => {
      const storage = await open();
      await writer(storage).write('folder/file', 'x');
      for (const key of ['none', 'folder', 'folder/file/below', 'folder/fil']) {
        expect(await storage.stat(key)).toBeUndefined();
        const error = await failure(() => storage.read(key));
        expect(error).toMatchObject({ code: 'io-failed', details: { missing: true } });
        expect(error.message).toContain(key);
      }
    });

    it('streams what it is given, in blocks that stay as they are', async () => {
      const storage = await open();
      const bytes = pattern(streamBytes);
      const written = await writer(storage).write('big', blocksOf(bytes, 65_521));
      expect(written?.bytes).toBe(streamBytes);
      const blocks: Uint8Array[] = [];
      for await (const block of storage.stream('big')) blocks.push(block);
      expect(Buffer.concat(blocks).equals(bytes)).toBe(true);
      expect(blocks.length).toBeGreaterThan(1);
      const middle = Math.floor(streamBytes / 2);
      const range = { start: middle - 1000, end: middle + 1000 };
      expect(Buffer.from(await storage.read('big', range)).equals(bytes.subarray(range.start, range.end))).toBe(true);
    });

    it('reads the version that was asked for, or says that it has changed', async () => {
      const storage = await open();
      await writer(storage).write('file', 'one');
      const first = (await storage.stat('file'))!;
      expect(Buffer.from(await storage.read('file', first)).toString()).toBe('one');
      await writer(storage).write('file', 'two');
      const second = (await storage.stat('file'))!;
      expect(second.version).not.toBe(first.version);
      expect(await failure(() => storage.read('file', first))).toMatchObject({
        code: 'io-failed',
        details: { changed: true },
      });
      expect(Buffer.from(await storage.read('file', second)).toString()).toBe('two');
    });

    it.skipIf(unlistable !== undefined)('lists by prefix, in the order of bytes, with size and version', async () => {
      const storage = await open();
      const keys = ['a.b', 'a/1', 'a/2/x', 'a/2.y', 'a0', 'b/1', 'ä/1', 'Z'];
      for (const key of keys) await writer(storage).write(key, key);
      const inOrder = (some: readonly string[]): string[] =>
        some.toSorted((one, other) => Buffer.from(one).compare(Buffer.from(other)));
      const listed = await all(storage.list(''));
      expect(listed.map(({ key }) => key)).toEqual(inOrder(keys));
      for (const { key, ...state } of listed) expect(state).toEqual(await storage.stat(key));
      for (const prefix of ['a', 'a/', 'a/2', 'ä', 'b/1', 'none', 'none/none']) {
        const found = (await all(storage.list(prefix))).map(({ key }) => key);
        expect(found).toEqual(inOrder(keys.filter((key) => key.startsWith(prefix))));
      }
    });

    it('takes odd keys as they are', async () => {
      const storage = await open();
      for (const key of oddKeys) await writer(storage).write(`odd/${key}`, key);
      for (const key of oddKeys) expect(Buffer.from(await storage.read(`odd/${key}`)).toString()).toBe(key);
    });

    it.skipIf(unlistable !== undefined)('lists odd keys as they are', async () => {
      const storage = await open();
      for (const key of oddKeys) await writer(storage).write(`odd/${key}`, key);
      const listed = (await all(storage.list('odd/'))).map(({ key }) => key.slice(4));
      expect(listed.toSorted()).toEqual(oddKeys.toSorted());
    });

    it('refuses keys that lead elsewhere', async () => {
      const storage = await open();
      for (const key of ['', '..', '../x', 'a/../b', './a', 'a/.']) {
        for (const call of [() => storage.read(key), () => storage.stat(key), () => writer(storage).write(key, 'x')])
          expect(await failure(call)).toMatchObject({ code: 'invalid-argument' });
      }
    });

    it.skipIf(readOnly !== undefined)('replaces an earlier file as a whole', async () => {
      const storage = await open();
      await storage.write('file', pattern(100_000));
      const written = await storage.write('file', 'shorter');
      expect(written).toEqual(await storage.stat('file'));
      expect(Buffer.from(await storage.read('file')).toString()).toBe('shorter');
    });

    it.skipIf(readOnly !== undefined)('writes nothing when the content fails, and leaves nothing', async () => {
      const storage = await open();
      await storage.write('there', 'before');
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield* blocksOf(pattern(streamBytes), 65_521);
        throw new Error('the source broke');
      }
      for (const key of ['there', 'new']) {
        await expect(storage.write(key, broken())).rejects.toThrow('the source broke');
      }
      expect(Buffer.from(await storage.read('there')).toString()).toBe('before');
      expect((await all(storage.list(''))).map(({ key }) => key)).toEqual(['there']);
    });

    it.skipIf(readOnly !== undefined)('replaces nothing, or one version only', async () => {
      const storage = await open();
      const first = await storage.write('file', 'one', { replaces: null });
      expect(first).toEqual(await storage.stat('file'));
      expect(await storage.write('file', 'two', { replaces: null })).toBeUndefined();
      expect(await storage.write('file', 'two', { replaces: 'another version' })).toBeUndefined();
      expect(await storage.write('none', 'two', { replaces: first!.version })).toBeUndefined();
      expect(Buffer.from(await storage.read('file')).toString()).toBe('one');
      const second = await storage.write('file', 'two', { replaces: first!.version });
      expect(second?.bytes).toBe(3);
      expect(await storage.write('file', 'three', { replaces: first!.version })).toBeUndefined();
      expect(Buffer.from(await storage.read('file')).toString()).toBe('two');
      await storage.remove('file');
      expect(await storage.write('file', 'three', { replaces: second!.version })).toBeUndefined();
      expect(await storage.stat('file')).toBeUndefined();
      expect(await storage.write('file', blocksOf(pattern(streamBytes), 65_521), { replaces: null })).toMatchObject({
        bytes: streamBytes,
      });
      expect(await storage.write('file', blocksOf(pattern(streamBytes), 65_521), { replaces: null })).toBeUndefined();
    });

    it.skipIf(readOnly !== undefined)('lets exactly one of many concurrent conditional writes succeed', async () => {
      const storage = await open();
      const race = async (replaces: string | null, writers: number): Promise<void> => {
        const results = await Promise.all(
          Array.from({ length: writers }, (_, index) => storage.write('race', `${writers}-${index}`, { replaces })),
        );
        const winners = results.flatMap((result, index) => (result ? [index] : []));
        expect(winners).toHaveLength(1);
        expect(Buffer.from(await storage.read('race')).toString()).toBe(`${writers}-${winners[0]}`);
        expect(await storage.stat('race')).toEqual(results[winners[0]!]);
      };
      await race(null, 20);
      await race((await storage.stat('race'))!.version, 6);
    });

    it.skipIf(readOnly !== undefined)('removes a file, also one that is not there', async () => {
      const storage = await open();
      await storage.write('folder/file', 'x');
      await storage.write('folder/other', 'y');
      await storage.remove('folder/file');
      await storage.remove('folder/file');
      await storage.remove('nowhere/file');
      expect((await all(storage.list(''))).map(({ key }) => key)).toEqual(['folder/other']);
    });

    it('stops at its signal', async () => {
      const storage = await open();
      await writer(storage).write('file', pattern(streamBytes));
      const signal = AbortSignal.abort();
      const calls = [
        () => storage.stat('file', { signal }),
        () => storage.read('file', { signal }),
        ...(readOnly === undefined
          ? [() => storage.write('new', 'x', { signal }), () => storage.remove('file', { signal })]
          : []),
        ...(unlistable === undefined ? [() => all(storage.list('', { signal }))] : []),
      ];
      for (const call of calls) expect(await failure(call)).toMatchObject({ code: 'aborted' });
      const controller = new AbortController();
      const error = await failure(async () => {
        for await (const _ of storage.stream('file', { signal: controller.signal })) controller.abort();
      });
      expect(error).toMatchObject({ code: 'aborted' });
      expect(await storage.stat('new')).toBeUndefined();
      expect(await storage.stat('file')).toMatchObject({ bytes: streamBytes });
    });
  });
}

async function all(files: AsyncIterable<ListedFile>): Promise<ListedFile[]> {
  const found: ListedFile[] = [];
  for await (const file of files) found.push(file);
  return found;
}

async function failure(work: () => Promise<unknown>): Promise<SentvecError> {
  try {
    await work();
  } catch (error) {
    if (SentvecError.is(error)) return error;
    throw error;
  }
  throw new Error('It did not fail.');
}

/** Bytes in which no two ranges are alike. */
function pattern(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at + 1, 0x9e3779b1);
  return Buffer.from(words.buffer, 0, length);
}

async function* blocksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}
