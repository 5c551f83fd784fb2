// Workers that cannot execute some steps: which worker executes a job, and the error of the run if none can.
import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError } from '@sentvec/core';
import type { QueueWorkerOptions } from '@sentvec/queue';
import { defineStep, defineWorkflow, type AnyWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { queueForEachTest } from './queue-for-each-test.ts';
import { intoSum } from './workflows.mjs';

const queue = queueForEachTest('fitness');
const serve = async (workflow: AnyWorkflow, options: Partial<QueueWorkerOptions> = {}) =>
  queue.serve({ workflows: [workflow], concurrency: 1, ...options });

const atOnce = { recovery: { declineTimeout: 0 } };

/** Options in which the workers differ; their workflow is the same. */
interface Surroundings {
  readonly items?: number;
  readonly fault?: SentvecError | undefined;
  readonly sourceFault?: SentvecError | undefined;
  readonly gate?: Promise<void>;
  readonly milliseconds?: number;
}

/** A workflow that doubles 0, 1, 2 … and sums up the results. */
function doubling({ items = 12, fault, sourceFault, gate, milliseconds = 0 }: Surroundings = {}) {
  const done: number[] = [];
  const count = defineStep({
    id: 'count',
    input: v.null(),
    output: v.number(),
    async *run() {
      if (sourceFault) throw sourceFault;
      for (let index = 0; index < items; index += 1) yield index;
    },
  });
  const double = defineStep({
    id: 'double',
    input: v.number(),
    output: v.number(),
    run: async (value) => {
      await gate;
      if (fault) throw fault;
      await sleep(milliseconds);
      done.push(value);
      return 2 * value;
    },
  });
  const workflow = defineWorkflow({ id: 'doubling', input: v.null() }).step(count).forEach(double, { fold: intoSum });
  return { workflow, done };
}

const total = { count: 12, total: 132 };
const otherWeights = new SentvecError('space-mismatch', 'The weights of this worker are not those of the run.');
const noMount = new SentvecError('invalid-corpus', 'There is no file /data/rows.jsonl.', { missing: true });

describe('a worker that cannot execute a step', () => {
  it.each([
    ['other weights', otherWeights],
    ['no mount', noMount],
  ])('leaves it to another worker, is reported, and is paused: %s', async (_what, fault) => {
    const good = doubling({ items: 40, milliseconds: 25 });
    const worker = await serve(good.workflow);
    const bad = await serve(doubling({ fault }).workflow);
    const run = await queue.runtime.start(doubling().workflow, null);
    // The unsuitable worker always has a free slot, so it would take every second step.
    await expect
      .poll(async () => (await queue.runtime.workers()).find(({ id }) => id === bad.id)?.setAside, { timeout: 20_000 })
      .toBe(fault.message);
    expect(await run.result()).toMatchObject({ count: 40, total: 40 * 39 });
    expect(good.done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, index) => index));
    const refused = await queue.overview.refusedJobs();
    expect(new Set(refused.map((job) => job.worker))).toEqual(new Set([bad.id]));
    expect(refused[0]?.reason).toBe(fault.message);
    expect((await queue.runtime.workers()).find(({ id }) => id === worker.id)?.setAside).toBeUndefined();
  });

  it('leaves the coordination to another worker if it cannot read the source', async () => {
    const refused = new SentvecError('job-refused', 'The path "/data" is outside the roots of this worker.');
    await serve(doubling({ sourceFault: refused }).workflow);
    const run = await queue.runtime.start(doubling().workflow, null);
    await expect.poll(async () => (await queue.overview.refusedJobs()).length, { timeout: 20_000 }).toBeGreaterThan(0);
    await serve(doubling().workflow);
    expect(await run.result()).toMatchObject(total);
  });

  it('executes the step itself after the fault is fixed and it was restarted', async () => {
    const bad = await serve(doubling({ fault: noMount }).workflow);
    const run = await queue.runtime.start(doubling().workflow, null);
    await expect.poll(async () => (await queue.overview.refusedJobs()).length, { timeout: 20_000 }).toBe(12);
    await bad.stop(1000);
    const mended = doubling();
    await serve(mended.workflow);
    expect(await run.result()).toMatchObject(total);
  });
});

describe('a run that no worker can execute', () => {
  it('fails with the reason of each worker', async () => {
    const [one, two] = [
      await serve(doubling({ fault: otherWeights }).workflow, atOnce),
      await serve(doubling({ fault: noMount }).workflow, atOnce),
    ];
    const run = await queue.runtime.start(doubling().workflow, null);
    const error = await run.result().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ message: expect.stringContaining(`${one.id}: ${otherWeights.message}`) });
    expect(error).toMatchObject({ message: expect.stringContaining(`${two.id}: ${noMount.message}`) });
  });

  it('fails with the error itself if all workers have the same reason', async () => {
    await serve(doubling({ fault: noMount }).workflow, atOnce);
    await serve(doubling({ fault: noMount }).workflow, atOnce);
    const run = await queue.runtime.start(doubling().workflow, null);
    await expect(run.result()).rejects.toMatchObject({ code: 'invalid-corpus', message: noMount.message });
  });

  it('waits for a worker that is starting', async () => {
    const other = defineWorkflow({ id: 'other', input: v.null() });
    await serve(other);
    const run = await queue.runtime.start(doubling().workflow, null);
    await expect
      .poll(async () => (await queue.overview.refusedJobs())[0]?.reason, { timeout: 20_000 })
      .toMatch(/other/);
    await serve(doubling().workflow);
    expect(await run.result()).toMatchObject(total);
  });
});

describe('a workflow that changes during a run', () => {
  const changed = () => {
    const triple = defineStep({ id: 'double', input: v.number(), output: v.number(), run: (value) => 3 * value });
    const count = defineStep({
      id: 'count',
      input: v.null(),
      output: v.number(),
      async *run() {
        for (let index = 100; index < 120; index += 1) yield index;
      },
    });
    return defineWorkflow({ id: 'doubling', input: v.null() }).step(count).forEach(triple, { fold: intoSum });
  };

  it('is finished by workers with the version of the run', async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    const first = await serve(doubling({ gate }).workflow);
    const run = await queue.runtime.start(doubling().workflow, null);
    await expect.poll(() => first.active, { timeout: 20_000 }).toBe(1);
    await serve(changed(), { concurrency: 4 });
    open();
    expect(await run.result()).toMatchObject(total);
  });

  it('fails if no worker has that version, and starts over with the new version when it is replayed', async () => {
    const gate = new Promise<void>(() => {});
    const first = await serve(doubling({ gate }).workflow);
    const run = await queue.runtime.start(doubling().workflow, null);
    await expect.poll(() => first.active, { timeout: 20_000 }).toBe(1);
    await first.stop(500);
    await serve(changed(), atOnce);
    await expect(run.result()).rejects.toMatchObject({
      code: 'job-refused',
      message: expect.stringMatching(/"doubling" has changed since the run began/),
    });
    await run.replay();
    expect(await run.result()).toMatchObject({ count: 20, total: 3 * ((100 + 119) * 10) });
  });
});

describe('a run without workers', () => {
  it('has a status with the reason', async () => {
    const run = await queue.runtime.start(doubling().workflow, null);
    expect((await run.status()).notice).toBe('No worker serves this queue.');
    await serve(defineWorkflow({ id: 'other', input: v.null() }));
    expect((await run.status()).notice).toBe('No worker serves workflow "doubling". They serve: other.');
    expect((await queue.runtime.list())[0]?.notice).toMatch(/"doubling"/);
    await serve(doubling().workflow);
    expect((await run.status()).notice).toBeUndefined();
    await run.result();
    expect((await run.status()).notice).toBeUndefined();
  });
});

describe('a window that is smaller than the total concurrency of the workers', () => {
  it('is increased until every slot has work', async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    const { workflow } = doubling({ gate, items: 64 });
    const [one, two] = [
      await serve(workflow, { window: 4, concurrency: 8 }),
      await serve(workflow, { window: 4, concurrency: 8 }),
    ];
    const run = await queue.runtime.start(doubling().workflow, null);
    await expect.poll(() => [one.active, two.active], { timeout: 20_000 }).toEqual([8, 8]);
    open();
    expect(await run.result()).toMatchObject({ count: 64 });
  });
});
