// Parked jobs return to the queue, whatever happens between the updates of the two records of each job.
import { connectRedis, namesOf, type RedisConnection } from '@sentvec/queue';
import { startRedis, type RedisServer } from '@sentvec/testing';
import { Job, Queue, Worker } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { ParkedJobs } from '../src/parked-jobs.ts';
import type { RunAttempt } from '../src/run-watcher.ts';

const names = namesOf('parked');
const run = { id: 'run', attempt: 1 } as RunAttempt;
const data = { run: 'run', attempt: 1 };
let redis: RedisServer;
let connection: RedisConnection;
let steps: Queue;
let worker: Worker;
let parked: ParkedJobs;

beforeAll(async () => {
  redis = await startRedis();
  connection = await connectRedis(redis.url, 'worker');
  const options = { connection, prefix: '{parked}' };
  steps = new Queue('steps', options);
  worker = new Worker('steps', null, { ...options, autorun: false });
  parked = new ParkedJobs(connection, names, { of: () => steps });
});

afterAll(async () => {
  await worker.close();
  await steps.close();
  connection.disconnect();
  await redis.stop();
});

beforeEach(async () => {
  await steps.add('step', data, { jobId: 'step' });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await steps.obliterate({ force: true });
});

async function take(): Promise<Job> {
  const job = await worker.getNextJob('token', { block: false });
  if (job === undefined) throw new Error('There is no job.');
  return job;
}

async function park(): Promise<void> {
  await expect(parked.park(await take(), 'token', data)).rejects.toThrow('movedToDelayed');
  await vi.waitFor(async () => expect(await steps.getDelayedCount()).toBe(1));
}

const isReleased = () =>
  vi.waitFor(async () => {
    await parked.release(run);
    expect(await steps.getWaitingCount()).toBe(1);
  });

it('a job that another worker takes and parks again during its release is released again', async () => {
  await park();
  const job = (await steps.getJob('step'))!;
  const promote = job.promote.bind(job);
  const attempts = vi.spyOn(Job.prototype, 'promote').mockImplementationOnce(async () => {
    await promote();
    await park();
  });
  await vi.waitFor(async () => {
    await parked.release(run);
    expect(attempts).toHaveBeenCalled();
  });
  await isReleased();
});

it('a job that is released before its worker has parked it is released again', async () => {
  const job = await take();
  const move = job.moveToDelayed.bind(job);
  vi.spyOn(job, 'moveToDelayed').mockImplementationOnce(async (...options) => {
    const attempts = vi.spyOn(Job.prototype, 'promote');
    await vi.waitFor(async () => {
      await parked.release(run);
      expect(attempts).toHaveBeenCalled();
    });
    return move(...options);
  });
  await expect(parked.park(job, 'token', data)).rejects.toThrow('movedToDelayed');
  await isReleased();
});

it('a job stays recorded while Redis is unreachable', async () => {
  await park();
  vi.spyOn(Job.prototype, 'promote').mockRejectedValueOnce(new Error('Connection is closed.'));
  await vi.waitFor(async () => expect(parked.release(run)).rejects.toThrow('Connection is closed.'));
  await isReleased();
});

it('the record of a finished job is deleted', async () => {
  await park();
  const job = (await steps.getJob('step'))!;
  await job.remove();
  await vi.waitFor(async () => {
    await parked.release(run);
    expect(await connection.zcard(names.parked('run', 1))).toBe(0);
  });
});

it('after an attempt has ended, all its parked jobs and their records are deleted, and no other jobs', async () => {
  await steps.addBulk(['second', 'third'].map((jobId) => ({ name: 'step', data, opts: { jobId } })));
  for (let jobs = 1; jobs <= 2; jobs += 1) {
    await expect(parked.park(await take(), 'token', data)).rejects.toThrow('movedToDelayed');
    await vi.waitFor(async () => expect(await steps.getDelayedCount()).toBe(jobs));
  }
  await parked.clear(run);
  expect([await steps.getDelayedCount(), await steps.getWaitingCount()]).toEqual([0, 1]);
  expect(await connection.exists(names.parked('run', 1))).toBe(0);
});
