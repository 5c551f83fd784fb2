import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { afterEach, expect, test, vi } from 'vitest';

/** A clock that stands still unless a test moves it. */
let now = 0;
vi.spyOn(performance, 'now').mockImplementation(() => now);

afterEach(() => vi.unstubAllGlobals());

/** Begins a slice, as after idle time. */
async function beginSlice(): Promise<void> {
  now += 1000;
  await yieldToEventLoop();
}

test('a slice lasts for 5 ms', async () => {
  await beginSlice();
  now += 4.9;
  expect(shouldYield()).toBe(false);
  now += 0.1;
  expect(shouldYield()).toBe(true);
});

test('yielding lets tasks run that wait, but only when the slice is over', async () => {
  await beginSlice();
  let ran = false;
  setImmediate(() => (ran = true));
  await yieldToEventLoop();
  expect(ran).toBe(false);
  now += 5;
  await yieldToEventLoop();
  expect(ran).toBe(true);
  expect(shouldYield()).toBe(false);
});

test('computations at the same time share one slice', async () => {
  await beginSlice();
  const turns: string[] = [];
  const compute = async (name: string): Promise<void> => {
    for (let step = 0; step < 4; step += 1) {
      now += 3;
      turns.push(name);
      await yieldToEventLoop();
    }
  };
  let idle = 0;
  let computing = true;
  const count = (): void => {
    idle += 1;
    if (computing) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all([compute('first'), compute('second')]);
  computing = false;
  expect(turns.length).toBe(8);
  // 24 ms of work in slices of 6 ms: with a slice for each computation, the loop would be held for 12 ms.
  expect(idle).toBeGreaterThanOrEqual(3);
});

test('a browser, which has no setImmediate, yields by a message', async () => {
  await beginSlice();
  const ran: string[] = [];
  setTimeout(() => ran.push('timer'), 0);
  vi.stubGlobal('setImmediate', undefined);
  while (ran.length === 0) {
    now += 5;
    await yieldToEventLoop();
  }
  expect(ran).toEqual(['timer']);
});
