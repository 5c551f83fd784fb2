import { setImmediate as turn } from 'node:timers/promises';
import { inOrder } from '@sentvec/platform';
import { expect, it } from 'vitest';

it('gives results in the order of the items, with a few at work and no more', async () => {
  let working = 0;
  let most = 0;
  const work = async (item: number) => {
    most = Math.max(most, (working += 1));
    // Later items are done first.
    for (let turns = 10 - item; turns > 0; turns -= 1) await turn();
    working -= 1;
    return item * item;
  };
  const results: number[] = [];
  for await (const result of inOrder([1, 2, 3, 4, 5, 6, 7], 3, work)) results.push(result);
  expect(results).toEqual([1, 4, 9, 16, 25, 36, 49]);
  expect(most).toBe(3);
});

it('throws what the first item in order throws, whichever failed first', async () => {
  const work = async (item: number) => {
    if (item === 2) await turn();
    if (item > 1) throw new Error(`item ${item}`);
    return item;
  };
  const results = inOrder([1, 2, 3], 3, work);
  expect(await results.next()).toEqual({ done: false, value: 1 });
  await expect(results.next()).rejects.toThrow('item 2');
});

it('takes an item only when there is room for its work', async () => {
  let taken = 0;
  const items = (function* () {
    for (;;) yield (taken += 1);
  })();
  for await (const item of inOrder(items, 4, async (each) => each)) if (item === 10) break;
  expect(taken).toBe(13);
});
