// The part of the runtime contract on items that fail for good: how many may, what is kept of them, and their replay.
import { SentvecError } from '@sentvec/core';
import { defineStep, defineWorkflow, type StartOptions } from '@sentvec/workflow';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { reaches, type RuntimeFixture } from './runtime-contract-fixture.ts';

const quickly = { delay: 1, jitter: 0, attempts: 2 };

/** A workflow of 40 items, some of which fail, with a fold that shows their order and a step after them. */
function failingItems(id: string, bad: Set<number>) {
  const tried: number[] = [];
  const after: unknown[] = [];
  const values = { shift: 0 };
  const source = defineStep({
    id: 'source',
    input: v.null(),
    output: v.object({ row: v.number() }),
    async *run(_, { expect: expectItems }) {
      expectItems(40);
      for (let row = 0; row < 40; row += 1) yield { row: row + values.shift };
    },
  });
  const work = defineStep({
    id: 'work',
    input: v.object({ row: v.number() }),
    output: v.number(),
    retry: quickly,
    reference: ({ row }) => `corpus#${row}`,
    run: ({ row }) => {
      tried.push(row);
      if (bad.has(row)) throw new SentvecError('io-failed', `Row ${row} cannot be read.`, { row });
      return row;
    },
  });
  const last = defineStep({
    id: 'last',
    input: v.object({ input: v.null(), count: v.number(), total: v.string() }),
    output: v.string(),
    run: ({ total }) => {
      after.push(total);
      return total;
    },
  });
  const fold = { initial: '', add: (total: string, row: number) => `${total}${row} ` };
  const workflow = defineWorkflow({ id, input: v.null() }).step(source).forEach(work, { fold }).step(last);
  return { workflow, tried, after, values };
}

const whole = Array.from({ length: 40 }, (_, row) => `${row} `).join('');

/** Adds the tests of failed items to the contract. */
export function runtimeFailedItemsContract({ connect }: RuntimeFixture): void {
  it('goes on without items that fail, ends as incomplete, and completes when all of them were replayed', async () => {
    const bad = new Set([3, 17]);
    const { workflow, tried, after } = failingItems('some-fail', bad);
    const { runtime, elsewhere } = await connect(workflow);
    const { id } = await runtime.start(workflow, null, { maxFailed: 2 });
    const run = (await (await elsewhere()).find(id))!;
    await expect(run.result()).rejects.toMatchObject({
      code: 'incomplete',
      message: expect.stringMatching(/is not complete: 2 of its items failed, of 40\./),
      details: { run: id, failed: 2, items: 40 },
    });
    const items = { done: 38, failed: 2, planned: 40, expected: 40 };
    expect(await run.status()).toMatchObject({ state: 'incomplete', stage: 'work', items });
    expect(after).toEqual([]);
    expect(new Set(tried).size).toBe(40);
    const kept = await run.failedItems();
    expect(kept).toMatchObject(
      [3, 17].map((row) => ({
        id: `work#${row}`,
        reference: `corpus#${row}`,
        value: { row },
        attempts: 2,
        error: {
          code: 'io-failed',
          message: expect.stringContaining(`Row ${row} cannot be read. (Tried 2 times`),
          details: { row, step: `${id}/work#${row}` },
        },
      })),
    );
    expect(kept.every(({ at }) => Math.abs(Date.now() - at) < 600_000)).toBe(true);

    // One of them: the other stays as it is, and is not tried.
    bad.clear();
    tried.length = 0;
    await expect(run.replay({ items: ['work#4'] })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('has no failed item "work#4". Its failed items: work#3, work#17.'),
    });
    await run.replay({ items: ['work#17'] });
    await expect(run.result()).rejects.toMatchObject({ code: 'incomplete', details: { failed: 1 } });
    expect(tried).toContain(17);
    expect(tried).not.toContain(3);
    expect(await run.failedItems()).toEqual([kept[0]]);
    expect(after).toEqual([]);

    await run.replay();
    expect(await run.result()).toBe(whole);
    expect(after).toEqual([whole]);
    expect(await run.failedItems()).toEqual([]);
    expect((await run.status()).state).toBe('completed');
    expect((await run.status()).items).toEqual({ done: 40, planned: 40, expected: 40 });
  });

  it('fails when more items fail than may: by number, by percentage, or by default one', async () => {
    const cases: readonly (readonly [StartOptions['maxFailed'], number, RegExp])[] = [
      [undefined, 1, /^Row \d+ cannot be read\. \(Tried 2 times in \d+ s\.\)$/],
      [1, 2, /^2 items failed, and at most 1 may \(`maxFailed`\)\. The last: Row \d+ cannot be read\./],
      ['5%', 3, /^3 items failed, and at most 2 \(5%\) may \(`maxFailed`\)\. The last: Row \d+ cannot be read\./],
    ];
    const made = cases.map(([, count], index) =>
      failingItems(`too-many-${index}`, new Set([2, 9, 30].slice(0, count))),
    );
    const { runtime } = await connect(...made.map(({ workflow }) => workflow));
    for (const [index, [maxFailed, count, message]] of cases.entries()) {
      const { workflow, after } = made[index]!;
      const run = await runtime.start(workflow, null, { maxFailed });
      await expect(run.result()).rejects.toMatchObject({ code: 'io-failed', message: expect.stringMatching(message) });
      expect((await run.status()).state).toBe('failed');
      expect((await run.failedItems()).length).toBe(count);
      expect(after).toEqual([]);
    }
    for (const maxFailed of [-1, 1.5, 1001, '101%', '1', 'all', ''] as never[])
      await expect(runtime.start(made[0]!.workflow, null, { maxFailed })).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringContaining('`maxFailed` must be a whole number from 0 to 1000, or a percentage'),
      });
  });

  it('tries an item in place of one that failed, when its source now yields another one there', async () => {
    const bad = new Set([3, 17]);
    const { workflow, tried, values } = failingItems('shifted', bad);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, null, { maxFailed: '50%' });
    await run.result().catch(() => {});
    bad.clear();
    tried.length = 0;
    values.shift = 1;
    await run.replay({ items: ['work#3'] });
    await reaches(run, 'completed');
    expect(tried).toContain(18);
    expect(await run.failedItems()).toEqual([]);
  });
}
