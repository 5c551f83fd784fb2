import { defineStep, defineWorkflow } from '@sentvec/workflow';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { queueForEachTest } from './queue-for-each-test.ts';

const queue = queueForEachTest('schedules');
const everySecond = '* * * * * *';

/** A workflow whose runs end when the test releases them. */
function gated() {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  const step = defineStep({
    id: 'wait',
    input: v.string(),
    output: v.string(),
    run: async (value) => {
      await gate;
      return value;
    },
  });
  const identify = (input: string) => Promise.resolve({ writes: [`folder:/vectors/${input}`] });
  return { workflow: defineWorkflow({ id: 'waiting', input: v.string(), identify }).step(step), open };
}

it('starts a separate run each time, but none before the previous one has ended', async () => {
  const { workflow, open } = gated();
  await queue.serve({ workflows: [workflow] });
  const set = await queue.runtime.schedule(workflow, 'a', { name: 'nightly', every: everySecond, timeZone: 'UTC' });
  expect(set).toMatchObject({ name: 'nightly', workflow: 'waiting', input: 'a', every: everySecond, timeZone: 'UTC' });
  expect(set.next! - Date.now()).toBeLessThan(2000);
  const schedule = async () => (await queue.runtime.schedules())[0]!;
  await expect.poll(async () => (await schedule()).skipped?.reason, { timeout: 15_000 }).toMatch(/^Run nightly-/);
  const { last, skipped } = await schedule();
  expect(last!.run).toBe(`nightly-${new Date(last!.at).toISOString().replaceAll(/[-:]|\.\d+/g, '')}`);
  expect(skipped).toMatchObject({ reason: `Run ${last!.run} was still running.` });
  expect(skipped!.at).toBeGreaterThan(last!.at);
  expect(await queue.runtime.list()).toMatchObject([{ id: last!.run, state: 'running' }]);
  open();
  expect(await (await queue.runtime.find(last!.run))!.result()).toBe('a');
  await expect.poll(async () => (await schedule()).last?.run, { timeout: 15_000 }).not.toBe(last!.run);
  const next = await schedule();
  expect(next.skipped).toBeUndefined();
  expect(await (await queue.runtime.find(next.last!.run))!.result()).toBe('a');
  expect(await queue.runtime.unschedule('nightly')).toBe(true);
  expect(await queue.runtime.unschedule('nightly')).toBe(false);
  expect(await queue.runtime.schedules()).toEqual([]);
  expect(await queue.overview.queues.runs.getDelayedCount()).toBe(0);
}, 60_000);

it('starts no run while another run writes to the same output', async () => {
  const { workflow, open } = gated();
  await queue.serve({ workflows: [workflow] });
  const other = await queue.runtime.start(workflow, 'a');
  await queue.runtime.schedule(workflow, 'a', { name: 'nightly', every: everySecond });
  const skipped = async () => (await queue.runtime.schedules())[0]?.skipped?.reason;
  await expect.poll(skipped, { timeout: 15_000 }).toBe(`Run ${other.id} was writing to /vectors/a.`);
  await queue.runtime.unschedule('nightly');
  open();
  await other.result();
}, 60_000);

it('is replaced by one with the same name, and invalid schedules are refused', async () => {
  const { workflow } = gated();
  const schedule = (name: string, every: string, timeZone?: string) =>
    queue.runtime.schedule(workflow, 'a', { name, every, timeZone });
  await schedule('nightly', '0 3 * * *', 'Europe/Berlin');
  await schedule('nightly', '30 4 * * 1', 'UTC');
  const [only, ...others] = await queue.runtime.schedules();
  expect(others).toEqual([]);
  expect(only).toMatchObject({ every: '30 4 * * 1', timeZone: 'UTC' });
  expect(new Date(only!.next!).toISOString()).toMatch(/T04:30:00\.000Z$/);
  for (const every of ['', 'daily', '61 * * * *', '0 0 30 2 *', '3'])
    await expect(schedule('x', every)).rejects.toThrow(/is not a valid cron expression/);
  await expect(schedule('x', '0 3 * * *', 'Mars/Olympus')).rejects.toThrow(/"Mars\/Olympus" is not a time zone/);
  await expect(schedule('a:b', '0 3 * * *')).rejects.toThrow(/is not a valid name of a schedule/);
  const wrong = queue.runtime.schedule(workflow, 7 as never, { name: 'x', every: '0 3 * * *' });
  await expect(wrong).rejects.toMatchObject({ code: 'invalid-argument' });
  expect(await queue.runtime.schedules()).toHaveLength(1);
});

it('a malformed schedule job is refused', async () => {
  await queue.serve({ workflows: [gated().workflow] });
  const data = { schedule: 'x', workflow: 'waiting', input: 'a', priority: 1, inputHash: '', writes: [], more: 1 };
  await queue.overview.queues.runs.upsertJobScheduler('x', { pattern: everySecond }, { name: 'schedule', data });
  const reasons = async () => (await queue.overview.refusedJobs()).map(({ reason }) => reason);
  await expect.poll(reasons, { timeout: 15_000 }).toContainEqual(expect.stringMatching(/more/));
  await queue.overview.queues.runs.removeJobScheduler('x');
  expect(await queue.runtime.list()).toEqual([]);
}, 60_000);
