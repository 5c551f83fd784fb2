// Temporary faults: how long steps are retried, the load meanwhile, and the status of the run.
import { setTimeout as sleep } from 'node:timers/promises';
import { SentvecError } from '@sentvec/core';
import { defineStep, defineWorkflow, type AnyWorkflow, type RetryPolicy } from '@sentvec/workflow';
import * as v from 'valibot';
import { afterEach, expect, it, vi } from 'vitest';
import { queueForEachTest } from './queue-for-each-test.ts';
import { count, intoSum } from './workflows.mjs';

const queue = queueForEachTest('faults');
const serve = async (workflow: AnyWorkflow) => queue.serve({ workflows: [workflow], concurrency: 4, window: 64 });

afterEach(() => {
  vi.restoreAllMocks();
});

/** A workflow that writes items to a simulated disk, which may be full, and records the times of its attempts. */
function writing(disk: { full: boolean }, retry: RetryPolicy = {}) {
  const tried: number[] = [];
  const write = defineStep({
    id: 'write',
    input: v.number(),
    output: v.number(),
    retry,
    run: (index) => {
      tried.push(performance.now());
      if (disk.full) throw new SentvecError('io-failed', 'The disk is full. Free some space.', { errno: 'ENOSPC' });
      return index;
    },
  });
  const workflow = defineWorkflow({ id: 'writing', input: v.number() }).step(count).forEach(write, { fold: intoSum });
  return { tried, workflow };
}

it('a temporary fault is retried until it has passed, one step at a time', async () => {
  const disk = { full: true };
  const { tried, workflow } = writing(disk);
  await serve(workflow);
  const run = await queue.runtime.start(workflow, 60);
  const notice = async () => (await run.status()).notice;
  await expect
    .poll(notice, { timeout: 20_000 })
    .toMatch(/attempts of steps failed, so only one step at a time is executed.*disk is full/);
  const before = tried.length;
  // Without the circuit breaker, all 60 items would have been tried by now.
  expect(before).toBeLessThan(30);
  await sleep(4000);
  expect(tried.length - before).toBeLessThanOrEqual(6);
  expect(tried.length).toBeGreaterThan(before);
  disk.full = false;
  expect(await run.result()).toMatchObject({ count: 60, total: (59 * 60) / 2 });
  expect(await notice()).toBeUndefined();
});

it('a permanent fault fails the run after the total time, with the reason and the number of attempts', async () => {
  const { workflow } = writing({ full: true }, { delay: 300, totalTime: 2500 });
  await serve(workflow);
  const run = await queue.runtime.start(workflow, 1);
  await expect(run.result()).rejects.toMatchObject({
    code: 'io-failed',
    message: expect.stringMatching(/^The disk is full\. Free some space\. \(Tried [3-9] times in \d s\.\)$/),
    details: { errno: 'ENOSPC' },
  });
});

it('the delays between attempts do not depend on the clock of the worker', async () => {
  const disk = { full: true };
  const { tried, workflow } = writing(disk, { delay: 1500, jitter: 0, attempts: 3 });
  const realNow = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => realNow() + 3_600_000 * (tried.length % 2 === 0 ? 1 : -1));
  await serve(workflow);
  const run = await queue.runtime.start(workflow, 1);
  await expect(run.result()).rejects.toMatchObject({ code: 'io-failed' });
  expect(tried.length).toBe(3);
  expect(tried[1]! - tried[0]!).toBeGreaterThanOrEqual(1400);
  expect(tried[2]! - tried[1]!).toBeGreaterThanOrEqual(2900);
});
