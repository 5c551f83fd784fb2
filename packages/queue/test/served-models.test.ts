// Several models in one queue: who takes which steps, what a run waits for, and what happens when nobody is left.
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueWorker, QueueWorkerOptions, ServedModel } from '@sentvec/queue';
import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { queueForEachTest } from './queue-for-each-test.ts';
import { intoSum } from './workflows.mjs';

const queue = queueForEachTest('models');

const input = v.object({
  model: v.string(),
  fingerprint: v.optional(v.string()),
  items: v.number(),
  milliseconds: v.number(),
});

/** Counts items; `done` gets a line for each, with what this worker calls itself. */
function counting(done: string[] = [], name = '') {
  const items = defineStep({
    id: 'items',
    input,
    output: v.object({ index: v.number(), milliseconds: v.number() }),
    async *run({ items: count, milliseconds }) {
      for (let index = 0; index < count; index += 1) yield { index, milliseconds };
    },
  });
  const one = defineStep({
    id: 'one',
    input: v.object({ index: v.number(), milliseconds: v.number() }),
    output: v.number(),
    run: async ({ index, milliseconds }, { run, signal }) => {
      await sleep(milliseconds, undefined, { signal });
      done.push(`${name} ${run} ${index}`);
      return index;
    },
  });
  return defineWorkflow({ id: 'counting', input, model: ({ model, fingerprint }) => ({ name: model, fingerprint }) })
    .step(items)
    .forEach(one, { fold: intoSum });
}

const model = (name: string, fingerprint: string): ServedModel => ({ name, fingerprint: fingerprint.repeat(32) });

/** A worker that serves some models, and writes what it does into `done`. */
async function serve(
  name: string,
  models: readonly ServedModel[],
  done: string[],
  options: Partial<QueueWorkerOptions> = {},
): Promise<QueueWorker> {
  return queue.serve({
    workflows: [counting(done, name)],
    concurrency: 1,
    models: () => models,
    recovery: { declineTimeout: 0 },
    ...options,
  });
}

const start = async (name: string, items = 10, more: { fingerprint?: string; milliseconds?: number } = {}) =>
  queue.runtime.start(counting(), { model: name, items, milliseconds: 0, ...more });
/** The workers that did the items of a run. */
const doers = (done: readonly string[], run: { id: string }) =>
  new Set(done.filter((line) => line.includes(run.id)).map((line) => line.split(' ')[0]));

describe('a queue with several models', () => {
  it('gives the steps of a run to the workers that serve its model, and to no others', async () => {
    const done: string[] = [];
    await serve('a', [model('A', '1')], done);
    await serve('b', [model('B', '2')], done);
    await serve('both', [model('A', '1'), model('B', '2')], done);
    const runs = await Promise.all([start('A', 40), start('B', 40)]);
    for (const run of runs) expect(await run.result()).toMatchObject({ count: 40, total: 20 * 39 });
    expect([...doers(done, runs[0])].filter((name) => !['a', 'both'].includes(name!))).toEqual([]);
    expect([...doers(done, runs[1])].filter((name) => !['b', 'both'].includes(name!))).toEqual([]);
    expect(await runs[0].status()).toMatchObject({ model: { name: 'A', fingerprint: '1'.repeat(32) } });
    expect(await queue.overview.counts()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
    expect(await queue.overview.refusedJobs()).toEqual([]);
  });

  it('lets no model wait behind the steps of another', async () => {
    const done: string[] = [];
    await serve('a', [model('A', '1')], done);
    await serve('b', [model('B', '2')], done);
    const slow = await start('A', 200, { milliseconds: 50 });
    await expect.poll(() => doers(done, slow).size, { timeout: 20_000 }).toBe(1);
    const fast = await start('B', 50);
    await fast.result();
    expect((await slow.status()).state).toBe('running');
    expect(doers(done, fast)).toEqual(new Set(['b']));
    await slow.cancel();
  });

  it('executes no more steps at once than the worker has slots, of all its models together, and each model in turn', async () => {
    let active = 0;
    let most = 0;
    const observer = {
      stepBegan: () => void (most = Math.max(most, (active += 1))),
      stepEnded: () => void (active -= 1),
    };
    const done: string[] = [];
    await serve('both', [model('A', '1'), model('B', '2')], done, { concurrency: 2, observer });
    const runs = await Promise.all([start('A', 30, { milliseconds: 10 }), start('B', 30, { milliseconds: 10 })]);
    await Promise.all(runs.map((run) => run.result()));
    expect(most).toBe(2);
    const [first, second] = runs.map((run) => done.findIndex((line) => line.includes(run.id)));
    const last = runs.map((run) => done.findLastIndex((line) => line.includes(run.id)));
    expect(Math.max(first!, second!)).toBeLessThan(Math.min(...last));
  });
});

describe('a run whose model nobody serves', () => {
  it('says so, with who was seen last, and goes on when one comes back', async () => {
    const done: string[] = [];
    const other = await serve('other', [model('B', '2')], done);
    const run = await start('A', 20, { milliseconds: 20 });
    await expect
      .poll(async () => (await run.status()).notice, { timeout: 20_000 })
      .toBe('This run needs model A: no live worker serves it. They serve: B.');
    const first = await serve('first', [model('A', '1')], done);
    await expect.poll(() => doers(done, run), { timeout: 20_000 }).toEqual(new Set(['first']));
    await first.stop(500);
    await expect
      .poll(async () => (await run.status()).notice, { timeout: 20_000 })
      .toMatch(
        /^This run needs model A with fingerprint 111111111111: no live worker serves it; last seen \d{4}-.*Z\. They serve: B\.$/,
      );
    const newer = await serve('newer', [model('A', '3')], done);
    await expect.poll(async () => (await run.status()).notice).toContain('They have it: with 333333333333.');
    // Others are not held up, and the new weights get new runs only.
    expect(await (await start('A')).result()).toMatchObject({ count: 10 });
    const again = await serve('again', [model('A', '1')], done);
    expect(await run.result()).toMatchObject({ count: 20, total: 190 });
    expect(doers(done, run)).toEqual(new Set(['first', 'again']));
    await Promise.all([other, newer, again].map((worker) => worker.stop(500)));
  });

  it('keeps its fingerprint when it is replayed', async () => {
    const done: string[] = [];
    await serve('old', [model('A', '1')], done);
    const run = await start('A');
    await run.result();
    await serve('new', [model('A', '3')], done);
    await run.replay();
    await run.result();
    expect(doers(done, run)).toEqual(new Set(['old']));
  });
});

describe('a rolling update', () => {
  it('finishes old runs with the old workers, and begins new ones with the new', async () => {
    const done: string[] = [];
    await serve('old', [model('A', '1')], done);
    const old = await start('A', 40, { milliseconds: 20 });
    await expect.poll(() => doers(done, old), { timeout: 20_000 }).toEqual(new Set(['old']));
    await serve('new', [model('A', '3')], done);
    const [newest, named] = [await start('A'), await start('A', 10, { fingerprint: '11111111' })];
    await Promise.all([old, newest, named].map((run) => run.result()));
    expect(doers(done, old)).toEqual(new Set(['old']));
    expect(doers(done, newest)).toEqual(new Set(['new']));
    expect(doers(done, named)).toEqual(new Set(['old']));
  });

  it('of one worker, whose weights are replaced while it runs, mixes nothing', async () => {
    const done: string[] = [];
    let models = [model('A', '1')];
    const worker = await serve('one', [], done, { models: () => models });
    const run = await start('A', 40, { milliseconds: 20 });
    await expect.poll(() => doers(done, run).size, { timeout: 20_000 }).toBe(1);
    models = [model('A', '3')];
    await worker.modelsChanged();
    await (await start('A')).result();
    expect((await run.status()).notice).toMatch(/They have it: with 333333333333/);
    models = [model('A', '1')];
    await worker.modelsChanged();
    expect(await run.result()).toMatchObject({ count: 40 });
  });
});

it('a worker that does not say what it serves takes the steps of new runs, with all others', async () => {
  const done: string[] = [];
  await queue.serve({ workflows: [counting(done, 'any')], concurrency: 1 });
  await serve('b', [model('B', '2')], done);
  const run = await start('A', 30, { milliseconds: 5 });
  await run.result();
  expect(doers(done, run)).toEqual(new Set(['any', 'b']));
  expect((await run.status()).model).toBeUndefined();
});
