import { queueNames, queueRuntime, startQueueWorker, type QueueWorkerOptions } from '@sentvec/queue';
import { defineStep, defineWorkflow, type RunHandle } from '@sentvec/workflow';
import { beforeEach, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { queueForEachTest } from './queue-for-each-test.ts';
import { count, intoSum } from './workflows.mjs';

const queue = queueForEachTest('jobs');
const serve = async (options: Omit<QueueWorkerOptions, 'url' | 'queue'>) =>
  queue.serve({ recovery: { declineTimeout: 0 }, ...options });

const seen: number[] = [];
const note = defineStep({
  id: 'note',
  input: v.number(),
  output: v.null(),
  run: (value) => {
    seen.push(value);
    return null;
  },
});
const noting = defineWorkflow({ id: 'noting', input: v.number() }).step(note);

beforeEach(() => {
  seen.length = 0;
});

describe('an invalid job', () => {
  const refusedFor = async (reason: RegExp) => {
    await expect
      .poll(async () => (await queue.overview.refusedJobs()).map((each) => each.reason), { timeout: 10_000 })
      .toContainEqual(expect.stringMatching(reason));
  };

  it('is refused and recorded without its payload', async () => {
    await serve({ workflows: [noting] });
    const { steps, batches, runs } = queue.overview.queues;
    const step = { run: 'r1', attempt: 1, stage: 'note', index: 0, value: 1 };
    await steps.add('x', { ...step, value: 'x'.repeat(10_000_000) }, { jobId: 'large' });
    await refusedFor(/10000\d+ bytes/);
    await expect.poll(async () => (await steps.getJob('large'))?.data, { timeout: 5000 }).toEqual({ refused: true });
    await steps.add('x', { ...step, texts: ['not a reference'] });
    await refusedFor(/texts/);
    await steps.add('x', { ...step, run: '../../etc/passwd' });
    await refusedFor(/run/);
    await steps.add('x', { ...step, run: 'nobody' });
    await refusedFor(/no run nobody/);
    await batches.add('x', { run: 'r1', attempt: 1, stage: 'note', batch: -1 });
    await refusedFor(/batch/);
    await runs.add('x', 'what?');
    await refusedFor(/Object/);
    const reasons = (await queue.overview.refusedJobs(2)).map(({ reason }) => reason);
    expect(reasons).toEqual([expect.stringMatching(/Object/), expect.stringMatching(/batch/)]);
    expect(seen).toEqual([]);
  });

  it('is refused if it names an unknown stage, and does not affect its run', async () => {
    await serve({ workflows: [noting] });
    await queue.overview.queues.steps.pause();
    const run = await queue.runtime.start(noting, 2);
    await queue.overview.queues.steps.add('x', {
      run: run.id,
      attempt: 1,
      stage: 'format-the-disk',
      index: 0,
      value: null,
    });
    await queue.overview.queues.steps.resume();
    await refusedFor(/no stage "format-the-disk"/);
    await run.result();
    expect(seen).toEqual([2]);
    await expect
      .poll(() => queue.overview.counts(), { timeout: 10_000 })
      .toMatchObject({ waiting: 0, active: 0, delayed: 0 });
  });

  it('makes its run fail if no worker serves its workflow', async () => {
    await serve({ workflows: [noting] });
    const other = defineWorkflow({ id: 'unknown-here', input: v.number() }).step(note);
    const run = await queue.runtime.start(other, 1);
    await expect(run.result()).rejects.toMatchObject({
      code: 'job-refused',
      message: expect.stringContaining('noting'),
    });
    expect(await queue.overview.refusedJobs()).toMatchObject([
      { queue: queueNames.runs, job: `${run.id}.1`, reason: expect.stringContaining('unknown-here') },
    ]);
  });

  it('makes its run fail if its input does not match the schema of the worker', async () => {
    await serve({ workflows: [noting] });
    const loose = defineWorkflow({ id: 'noting', input: v.any() }).step(note);
    await expect((await queue.runtime.start(loose, { not: 'a number' })).result()).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    expect(seen).toEqual([]);
  });
});

it('a run id is bound to its request until the retention time has passed', async () => {
  await serve({ workflows: [noting], retentionSeconds: 2 });
  const { steps } = queue.overview.queues;
  const id = 'nightly';
  await steps.pause();
  await queue.runtime.start(noting, 1, { id });
  await expect(queue.runtime.start(noting, 2, { id })).rejects.toMatchObject({ code: 'invalid-argument' });
  await steps.resume();
  await expect.poll(() => queue.runtime.find(id), { timeout: 60_000 }).toBeUndefined();
  await steps.pause();
  expect((await queue.runtime.start(noting, 2, { id })).id).toBe(id);
  await steps.resume();
  await expect.poll(() => seen, { timeout: 60_000 }).toEqual([1, 2]);
});

it.each([
  ['queueRuntime()', () => queueRuntime({ ...({ retention: 60 } as object) })],
  ['startQueueWorker()', () => startQueueWorker({ workflows: [], ...({ retention: 60 } as object) })],
])('%s refuses an unknown option', async (call, make) => {
  await expect(make()).rejects.toMatchObject({
    code: 'invalid-argument',
    message: expect.stringContaining(`${call} has no option "retention". It has `),
  });
});

describe('the order and rate of jobs', () => {
  it('follows priorities', async () => {
    const low = await queue.runtime.start(noting, 1, { priority: 500 });
    const middle = await queue.runtime.start(noting, 2);
    const high = await queue.runtime.start(noting, 3, { priority: 1 });
    // All three coordinators add their single step to the queue before a worker takes the first one.
    await queue.overview.queues.steps.pause();
    await serve({ workflows: [noting], concurrency: 1 });
    await expect.poll(async () => (await queue.overview.counts()).waiting, { timeout: 10_000 }).toBe(3);
    await queue.overview.queues.steps.resume();
    await Promise.all([low, middle, high].map((run) => run.result()));
    expect(seen).toEqual([3, 2, 1]);
  });

  it('respects a rate limit', async () => {
    await serve({ workflows: [noting], concurrency: 8, rateLimit: { max: 2, duration: 300 } });
    const startedAt = performance.now();
    const runs = await Promise.all([1, 2, 3, 4, 5, 6].map((value) => queue.runtime.start(noting, value)));
    await Promise.all(runs.map((run) => run.result()));
    expect(seen.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(performance.now() - startedAt).toBeGreaterThan(600);
  });

  it('respects a rate limit that another worker has set, until it is removed', async () => {
    await serve({ workflows: [noting], concurrency: 4 });
    await serve({ workflows: [noting], concurrency: 4, rateLimit: { max: 2, duration: 600_000 } });
    const runs = await Promise.all([1, 2, 3, 4, 5, 6].map((value) => queue.runtime.start(noting, value)));
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(2);
    await expect.poll(async () => (await queue.overview.counts()).active, { timeout: 20_000 }).toBe(4);
    expect(seen.length).toBe(2);
    await queue.overview.limitRate(undefined);
    await Promise.all(runs.map((run) => run.result()));
    expect(seen.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

describe('a paused run', () => {
  const waiting = defineWorkflow({ id: 'waiting', input: v.number() }).step(count).forEach(note);

  /** Starts a run whose items are all parked before any of them has started. */
  async function startPaused(): Promise<RunHandle> {
    await queue.overview.queues.steps.pause();
    await serve({ workflows: [waiting, noting], concurrency: 2, window: 64 });
    const run = await queue.runtime.start(waiting, 64);
    await expect.poll(async () => (await queue.overview.counts()).waiting, { timeout: 20_000 }).toBe(64);
    await run.pause();
    await queue.overview.queues.steps.resume();
    await expect
      .poll(() => queue.overview.counts(), { timeout: 20_000 })
      .toMatchObject({ waiting: 0, active: 0, delayed: 64 });
    return run;
  }

  it('causes only a few Redis commands per second for any number of waiting items, and continues after a resume', async () => {
    const run = await startPaused();
    const commands = async () =>
      Number(/total_commands_processed:(\d+)/.exec(await queue.connection.info('stats'))?.[1]);
    const before = await commands();
    const startedAt = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const perSecond = ((await commands()) - before) / ((performance.now() - startedAt) / 1000);
    // An idle worker needs about five commands per second. Polling each waiting item every two seconds took hundreds.
    expect(perSecond).toBeLessThan(50);
    expect(seen).toEqual([]);
    await run.resume();
    expect(await run.result()).toMatchObject({ count: 64 });
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, index) => index));
  });

  it('does not use up the rate limit of other runs', async () => {
    const paused = await startPaused();
    await queue.overview.limitRate({ max: 3, duration: 600_000 });
    const others = await Promise.all([101, 102, 103].map((value) => queue.runtime.start(noting, value)));
    await Promise.all(others.map((run) => run.result()));
    expect(seen.toSorted((a, b) => a - b)).toEqual([101, 102, 103]);
    await paused.cancel();
  });
});

describe('a step that fails', () => {
  it('is retried with exponential backoff and jitter', async () => {
    const fails = defineStep({
      id: 'fails',
      input: v.number(),
      output: v.null(),
      retry: { attempts: 5, delay: 60_000, jitter: 0.5 },
      run: () => {
        throw new Error('not now');
      },
    });
    const many = defineWorkflow({ id: 'fleet', input: v.number() }).step(count).forEach(fails);
    await serve({ workflows: [many], concurrency: 20 });
    const run = await queue.runtime.start(many, 20);
    await expect.poll(async () => (await queue.overview.counts()).delayed, { timeout: 20_000 }).toBe(20);
    const parked = await queue.connection.zrange(queue.overview.names.parked(run.id, 1), 0, -1, 'WITHSCORES');
    const [seconds] = await queue.connection.time();
    // Measured with the clock of Redis, in whole seconds.
    const delays = parked.filter((_, index) => index % 2 === 1).map((due) => Number(due) - Number(seconds) * 1000);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(25_000);
    expect(Math.max(...delays)).toBeLessThanOrEqual(61_000);
    expect(new Set(delays).size).toBeGreaterThan(10);
    await run.cancel();
  });
});

describe('a step whose worker is lost', () => {
  /** A step that loses its lock a number of times, as if its worker had frozen. */
  async function serveLosing(times: number, maxStalledCount: number, maxFailed = 0) {
    const losses: number[] = [];
    const lost = defineStep({
      id: 'lost',
      input: v.number(),
      output: v.number(),
      run: async (index, context) => {
        losses.push(context.losses);
        if (index !== 1 || context.losses >= times) return index;
        await queue.connection.del(`${queue.overview.names.prefix}:steps:${context.run}.1.lost.1:lock`);
        return new Promise<never>((_resolve, reject) => {
          context.signal.addEventListener('abort', () => reject(new Error('lost')));
        });
      },
    });
    const workflow = defineWorkflow({ id: 'losing', input: v.number() }).step(count).forEach(lost);
    const recovery = { declineTimeout: 0, stalledInterval: 200, maxStalledCount };
    await serve({ recovery, workflows: [workflow], concurrency: 4 });
    return { losses, run: await queue.runtime.start(workflow, 3, { maxFailed }) };
  }

  it('receives the number of its losses', async () => {
    const { losses, run } = await serveLosing(2, 5);
    expect(await run.result()).toMatchObject({ count: 3 });
    expect(losses.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 1, 2]);
  });

  it('makes its run fail with an error that names it if that happens too often', async () => {
    const { run } = await serveLosing(10, 1);
    await expect(run.result()).rejects.toMatchObject({
      code: 'step-failed',
      message: expect.stringMatching(
        /^Step "r\w+\/lost#1" could not be finished: every worker that executed it crashed/,
      ),
    });
  });

  it('is a failed item when some may fail', async () => {
    const { run } = await serveLosing(10, 1, 1);
    await expect(run.result()).rejects.toMatchObject({ code: 'incomplete', details: { failed: 1, items: 3 } });
    const message = expect.stringContaining('every worker that executed it crashed or froze') as string;
    expect(await run.failedItems()).toMatchObject([{ id: 'lost#1', reference: '1', error: { message } }]);
  });
});

describe('a Redis that lost its last writes in a crash', () => {
  it('gets the missing items again', async () => {
    let release = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    const hold = defineStep({
      id: 'hold',
      input: v.number(),
      output: v.number(),
      run: async (index) => {
        await released;
        return index;
      },
    });
    const many = defineWorkflow({ id: 'held', input: v.number() }).step(count).forEach(hold, { fold: intoSum });
    await serve({ workflows: [many], concurrency: 2, window: 16 });
    const run = await queue.runtime.start(many, 40);
    const batches = async () => queue.connection.keys(`{${queue.name}}:batches:r*`);
    await expect.poll(async () => (await batches()).length, { timeout: 20_000 }).toBeGreaterThan(3);
    // Simulate that the newest batch was never written: delete its parent, its items and their queue entries.
    const newest = [...(await batches())].sort().at(-1)!;
    const number = Number(/\.b(\d+)/.exec(newest)?.[1]);
    const items = [0, 1, 2, 3].map((offset) => `${run.id}.1.hold.${number * 4 + offset}`);
    const { prefix } = queue.overview.names;
    await queue.connection.del(...(await queue.connection.keys(`${prefix}:batches:${run.id}.1.hold.b${number}*`)));
    for (const id of items) {
      await queue.connection.del(`${prefix}:steps:${id}`);
      await queue.connection.zrem(`${prefix}:steps:prioritized`, id);
    }
    release();
    expect(await run.result()).toMatchObject({ count: 40, total: (39 * 40) / 2 });
  });
});

describe('the data in Redis', () => {
  it('is bounded for any number of items, and nothing of the items remains after the run', async () => {
    let most = 0;
    const look = defineStep({
      id: 'look',
      input: v.number(),
      output: v.number(),
      run: async (index) => {
        if (index % 100 === 0) most = Math.max(most, (await queue.connection.keys(`{${queue.name}}:steps:r*`)).length);
        return 1;
      },
    });
    const many = defineWorkflow({ id: 'many', input: v.number() }).step(count).forEach(look, { fold: intoSum });
    await serve({ workflows: [many], concurrency: 8, window: 64 });
    expect(await (await queue.runtime.start(many, 3000)).result()).toMatchObject({ count: 3000, total: 3000 });
    // One job and one lock for each unfinished item.
    expect(most).toBeLessThanOrEqual(64 * 2);
    const left = async () =>
      (await queue.connection.keys(`{${queue.name}}:*`)).filter((key) => /:(steps|batches):r/.test(key));
    await expect.poll(left, { timeout: 5000 }).toEqual([]);
  });
});
