import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StreamWindows, windowsOf } from '../src/embedder/windows.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A stream whose texts arrive when the test calls `give()`. */
class Source implements AsyncIterable<string>, AsyncIterator<string> {
  readonly charAt?: undefined;
  #give: ((text: string) => void) | undefined;
  #fail: ((error: Error) => void) | undefined;
  closed = false;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<string>> {
    return new Promise((resolve, reject) => {
      this.#give = (value) => resolve({ done: false, value });
      this.#fail = reject;
    });
  }

  return(): Promise<IteratorResult<string>> {
    this.closed = true;
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Resolves the pending `next()` with a text. */
  async give(text: string): Promise<void> {
    await settle();
    const give = this.#give!;
    this.#give = undefined;
    give(text);
    await settle();
  }

  /** Rejects the pending `next()`. */
  fail(error: Error): void {
    this.#fail!(error);
  }
}

/** Waits until all pending callbacks have run. */
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('a window ends when its first text has waited for 100 ms, and no text is lost', async () => {
  const source = new Source();
  const windows = new StreamWindows(source);
  const first = windows.read();
  await source.give('a');
  await vi.advanceTimersByTimeAsync(60);
  await source.give('b');
  let ended = false;
  void first.then(() => (ended = true));
  await vi.advanceTimersByTimeAsync(39);
  await settle();
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(await first).toEqual({ firstRow: 0, texts: ['a', 'b'] });
  // The pending read gives the first text of the next window, which has no time limit before its first text.
  const second = windows.read();
  await vi.advanceTimersByTimeAsync(10_000);
  await source.give('c');
  await vi.advanceTimersByTimeAsync(100);
  expect(await second).toEqual({ firstRow: 2, texts: ['c'] });
});

test('maxWait sets the time limit; a window is filled with texts that are available at once', async () => {
  const source = new Source();
  const windows = new StreamWindows(source, 0);
  const window = windows.read();
  await source.give('a');
  await vi.advanceTimersByTimeAsync(0);
  expect(await window).toEqual({ firstRow: 0, texts: ['a'] });
  async function* ready(): AsyncGenerator<string> {
    for (let row = 0; row < 3000; row += 1) {
      if (row % 100 === 0) vi.advanceTimersByTime(60);
      yield `${row}`;
    }
  }
  const all = new StreamWindows(ready());
  expect((await all.read())?.texts).toHaveLength(2048);
  expect((await all.read())?.texts).toHaveLength(3000 - 2048);
  expect(await all.read()).toBeUndefined();
});

test('a stream that fails after a window ended rejects the next read', async () => {
  const source = new Source();
  const windows = new StreamWindows(source);
  const window = windows.read();
  await source.give('a');
  await vi.advanceTimersByTimeAsync(100);
  expect(await window).toEqual({ firstRow: 0, texts: ['a'] });
  source.fail(new Error('the disk is gone'));
  await settle();
  await expect(windows.read()).rejects.toThrow('the disk is gone');
});

test('maxWait must be at least 0 ms; with Infinity a window never ends early', async () => {
  for (const maxWait of [-1, Number.NaN])
    expect(() => new StreamWindows([], maxWait)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  const source = new Source();
  const window = new StreamWindows(source, Infinity).read();
  await source.give('a');
  await vi.advanceTimersByTimeAsync(1e9);
  await source.give('b');
  let ended = false;
  void window.then(() => (ended = true));
  await settle();
  expect(ended).toBe(false);
});

test('a window of an array ends after 2,048 texts, or with the text that brings it to 4 Mi characters (2^22)', async () => {
  const rowsOf = async (texts: readonly string[]): Promise<number[]> => {
    const windows = windowsOf(texts);
    const rows: number[] = [];
    for (let window = await windows.read(); window !== undefined; window = await windows.read()) {
      expect(window.texts).toEqual(texts.slice(window.firstRow, window.firstRow + window.texts.length));
      rows.push(window.texts.length);
    }
    return rows;
  };
  expect(await rowsOf([])).toEqual([]);
  expect(await rowsOf(Array.from({ length: 2048 }, String))).toEqual([2048]);
  expect(await rowsOf(Array.from({ length: 5000 }, String))).toEqual([2048, 2048, 904]);
  const half = 'x'.repeat(2 ** 21);
  expect(await rowsOf([half, half, 'a', half, half.slice(1), 'b', 'c'])).toEqual([2, 3, 2]);
  expect(await rowsOf([half, half.slice(1), 'b'])).toEqual([3]);
});
