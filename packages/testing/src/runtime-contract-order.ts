// The part of the runtime contract on the order in which steps and items are run.
import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { allEvents, Gate, type RuntimeFixture } from './runtime-contract-fixture.ts';

const count = v.object({ count: v.number() });

/** Yields the whole numbers below its input. */
function countTo(onItem: (index: number) => void = () => {}) {
  return defineStep({
    id: 'count',
    input: count,
    output: v.number(),
    async *run({ count: end }, { expect: expectItems }) {
      expectItems(end);
      for (let index = 0; index < end; index += 1) {
        onItem(index);
        yield index;
      }
    },
  });
}

/** What a runtime computes, and in which order. */
export function runtimeOrderContract({ connect, readsAhead }: RuntimeFixture): void {
  const double = defineStep({ id: 'double', input: v.number(), output: v.number(), run: async (value) => value * 2 });
  const text = defineStep({ id: 'text', input: v.number(), output: v.string(), run: (value) => `<${value}>` });

  it('passes each value on to the next step', async () => {
    const workflow = defineWorkflow({ id: 'row', input: v.number() }).step(double).step(text);
    const { runtime } = await connect(workflow);
    expect(await (await runtime.start(workflow, 21)).result()).toBe('<42>');
  });

  it('gives steps the values that their schemas return, and passes results on as JSON', async () => {
    const trimmed = v.pipe(v.string(), v.trim());
    const when = v.pipe(
      v.string(),
      v.transform((day) => new Date(day)),
    );
    const read = defineStep({ id: 'read', input: trimmed, output: v.any(), run: (day) => ({ day, never: undefined }) });
    const year = defineStep({
      id: 'year',
      input: v.strictObject({ day: when }),
      output: v.date(),
      run: ({ day }) => new Date(day.getTime()),
    });
    const workflow = defineWorkflow({ id: 'dates', input: v.string() }).step(read).step(year);
    const { runtime } = await connect(workflow);
    expect(await (await runtime.start(workflow, '  2026-11-24 ')).result()).toBe('2026-11-24T00:00:00.000Z');
  });

  it('works on every item once, and folds the results in the order of the items', async () => {
    const seen: number[] = [];
    const square = defineStep({
      id: 'square',
      input: v.number(),
      output: v.number(),
      run: async (value) => {
        seen.push(value);
        await new Promise((resolve) => setTimeout(resolve, value % 3));
        return value * value;
      },
    });
    const fold = { initial: '', add: (total: string, result: number) => `${total}${result} ` };
    const workflow = defineWorkflow({ id: 'squares', input: count }).step(countTo()).forEach(square, { fold });
    const { runtime } = await connect(workflow);
    const gathered = await (await runtime.start(workflow, { count: 50 })).result();
    const numbers = Array.from({ length: 50 }, (_, index) => index);
    expect(gathered).toEqual({
      input: { count: 50 },
      count: 50,
      total: numbers.map((value) => `${value * value} `).join(''),
    });
    expect(seen.toSorted((a, b) => a - b)).toEqual(numbers);
  });

  it('continues after a forEach without items and without a fold', async () => {
    const workflow = defineWorkflow({ id: 'none', input: count }).step(countTo()).forEach(double);
    const { runtime } = await connect(workflow);
    expect(await (await runtime.start(workflow, { count: 0 })).result()).toEqual({
      input: { count: 0 },
      count: 0,
      total: null,
    });
  });

  it('never takes more from a source than it has room for', async () => {
    const gate = new Gate();
    let taken = 0;
    const hold = defineStep({
      id: 'hold',
      input: v.number(),
      output: v.null(),
      run: async () => gate.opened.then(() => null),
    });
    const endless = countTo(() => (taken += 1));
    const workflow = defineWorkflow({ id: 'endless', input: count }).step(endless).forEach(hold);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, { count: 1e9 });
    await expect.poll(() => taken).toBeGreaterThan(1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(taken).toBeLessThanOrEqual(readsAhead);
    await run.cancel();
    gate.open();
  });

  it('respects the concurrency of a forEach', async () => {
    let active = 0;
    let most = 0;
    const work = defineStep({
      id: 'work',
      input: v.number(),
      output: v.null(),
      run: async () => {
        active += 1;
        most = Math.max(most, active);
        await new Promise((resolve) => setTimeout(resolve, 5));
        active -= 1;
        return null;
      },
    });
    for (const concurrency of [1, 2]) {
      most = 0;
      const workflow = defineWorkflow({ id: `width-${concurrency}`, input: count })
        .step(countTo())
        .forEach(work, { concurrency });
      const { runtime } = await connect(workflow);
      await (await runtime.start(workflow, { count: 12 })).result();
      expect(most).toBe(concurrency);
    }
  });

  it('runs workflows within workflows, as a stage and for each item', async () => {
    const inner = defineWorkflow({ id: 'inner', input: v.number() }).step(double).step(text);
    const fold = { initial: '', add: (total: string, result: string) => total + result };
    const many = defineWorkflow({ id: 'many', input: count }).step(countTo()).forEach(inner, { fold });
    const total = defineStep({
      id: 'total',
      input: v.object({ total: v.string() }),
      output: v.string(),
      run: (all) => all.total,
    });
    const outer = defineWorkflow({ id: 'outer', input: count }).step(many).step(total);
    const { runtime } = await connect(outer);
    expect(await (await runtime.start(outer, { count: 4 })).result()).toBe('<0><2><4><6>');
  });

  it('gives each piece of work a key of its own, and watchers its progress', async () => {
    const keys: string[] = [];
    const report = defineStep({
      id: 'report',
      input: v.number(),
      output: v.null(),
      run: (value, context) => {
        keys.push(context.key);
        context.progress({ half: value / 2 });
        return null;
      },
    });
    const workflow = defineWorkflow({ id: 'keys', input: count }).step(countTo()).forEach(report);
    const { runtime } = await connect(workflow);
    const run = await runtime.start(workflow, { count: 3 });
    const events = await allEvents(run);
    expect(keys.toSorted()).toEqual([0, 1, 2].map((index) => `${run.id}/report#${index}`));
    const progress = events.flatMap((event) => (event.type === 'progress' ? [[event.key, event.value] as const] : []));
    expect(new Map(progress)).toEqual(
      new Map([0, 1, 2].map((index) => [`${run.id}/report#${index}`, { half: index / 2 }])),
    );
    const last = events.findLast((event) => event.type === 'items');
    expect(last).toMatchObject({ stage: 'report', items: { done: 3, planned: 3, expected: 3 } });
  });
}
