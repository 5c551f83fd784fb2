import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, QueueOverview, queueRuntime } from '@sentvec/queue';
import { startRedis, type RedisServer } from '@sentvec/testing';
import type { Runtime } from '@sentvec/workflow';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { marking } from './workflows.mjs';

let redis: RedisServer;
let directory: string;
let runtime: Runtime;
const workers: ChildProcess[] = [];

beforeEach(async () => {
  redis = await startRedis();
  directory = await mkdtemp(join(tmpdir(), 'sentvec-marks-'));
  runtime = await queueRuntime({ url: redis.url });
});

afterEach(async () => {
  for (const worker of workers.splice(0)) worker.kill('SIGKILL');
  await runtime.close();
  await redis.stop();
  await rm(directory, { recursive: true, force: true });
});

async function startWorker(): Promise<ChildProcess> {
  const worker = spawn(process.execPath, [join(import.meta.dirname, 'worker-process.mjs'), redis.url, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  workers.push(worker);
  await once(worker.stdout, 'data');
  return worker;
}

interface Mark {
  readonly what: string;
  readonly index: number;
  readonly pid: number;
}

async function marks(): Promise<Mark[]> {
  const text = await readFile(join(directory, 'marks'), 'utf8').catch(() => '');
  const lines = text.split('\n').filter(Boolean);
  return lines
    .map((line) => line.split(' '))
    .map(([what, index, pid]) => ({ what: what!, index: Number(index), pid: Number(pid) }));
}

const ended = async () => (await marks()).filter(({ what }) => what === 'end');
const sum = (count: number) => (count * (count - 1)) / 2;

async function leftInRedis(): Promise<string[]> {
  const connection = await connectRedis(redis.url, 'producer');
  const keys = await connection.keys('*');
  connection.disconnect();
  return keys.filter((key) => /:(steps|batches):r[0-9a-f]/.test(key));
}

describe('a run that loses workers', () => {
  it('loses and duplicates no item when the coordinating worker is killed', async () => {
    const first = await startWorker();
    const run = await runtime.start(marking(directory), 60);
    await expect.poll(async () => (await ended()).length, { timeout: 20_000 }).toBeGreaterThan(5);
    first.kill('SIGKILL');
    const second = await startWorker();
    await startWorker();
    expect(await run.result()).toMatchObject({ count: 60, total: sum(60) });
    const done = await ended();
    expect(new Set(done.map(({ index }) => index)).size).toBe(60);
    // Only the steps that were active in the killed worker are executed again.
    expect(done.length).toBeLessThanOrEqual(60 + 2);
    expect(done.some(({ pid }) => pid === second.pid)).toBe(true);
    await expect.poll(leftInRedis, { timeout: 10_000 }).toEqual([]);
  });

  it('continues after Redis is killed and restarted from its append-only file', async () => {
    await startWorker();
    const run = await runtime.start(marking(directory), 60);
    await expect.poll(async () => (await ended()).length, { timeout: 20_000 }).toBeGreaterThan(5);
    await redis.kill();
    await sleep(500);
    await redis.restart();
    expect(await run.result()).toMatchObject({ count: 60, total: sum(60) });
    expect(new Set((await ended()).map(({ index }) => index)).size).toBe(60);
  });

  it('takes over the steps of a frozen worker, which changes nothing when it resumes', async () => {
    const frozen = await startWorker();
    const run = await runtime.start(marking(directory), 60);
    await expect.poll(async () => (await ended()).length, { timeout: 20_000 }).toBeGreaterThan(5);
    frozen.kill('SIGSTOP');
    await startWorker();
    await expect.poll(async () => (await run.status()).items?.done ?? 0, { timeout: 30_000 }).toBeGreaterThan(25);
    frozen.kill('SIGCONT');
    expect(await run.result()).toMatchObject({ count: 60, total: sum(60) });
    expect((await run.status()).items).toEqual({ done: 60, planned: 60, expected: 60 });
    await expect.poll(leftInRedis, { timeout: 15_000 }).toEqual([]);
  });

  it('finishes active steps and returns the others to the queue after SIGTERM', async () => {
    const first = await startWorker();
    const run = await runtime.start(marking(directory), 60);
    await expect.poll(async () => (await ended()).length, { timeout: 20_000 }).toBeGreaterThan(5);
    const second = await startWorker();
    first.kill('SIGTERM');
    expect((await once(first, 'exit'))[0]).toBe(0);
    expect(await run.result()).toMatchObject({ count: 60, total: sum(60) });
    // The worker finished its steps: none was started twice, and none had to be recovered.
    expect((await ended()).length).toBe(60);
    expect((await marks()).filter(({ what }) => what === 'begin').length).toBe(60);
    second.kill('SIGTERM');
    expect((await once(second, 'exit'))[0]).toBe(0);
  });
});

describe('the whole queue', () => {
  it('respects a concurrency limit for all workers together', async () => {
    const connection = await connectRedis(redis.url, 'producer');
    const overview = new QueueOverview(connection, 'sentvec');
    await overview.limitConcurrency(1);
    await Promise.all([startWorker(), startWorker()]);
    await (await runtime.start(marking(directory), 12)).result();
    const all = await marks();
    expect(all.map(({ what }) => what)).toEqual(
      Array.from({ length: 24 }, (_, index) => (index % 2 === 0 ? 'begin' : 'end')),
    );
    await overview.limitConcurrency(undefined);
    await overview.close();
    connection.disconnect();
  });
});
