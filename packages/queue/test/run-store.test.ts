import { connectRedis, namesOf, type RedisConnection } from '@sentvec/queue';
import { startRedis, type RedisServer } from '@sentvec/testing';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { parkScript } from '../src/run-scripts.ts';
import { RunStore } from '../src/run-store.ts';

let redis: RedisServer;
let connection: RedisConnection;
let store: RunStore;
let tests = 0;
const names = () => namesOf(`store-${tests}`);

beforeAll(async () => {
  redis = await startRedis();
  connection = await connectRedis(redis.url, 'worker');
});

afterAll(async () => {
  connection.disconnect();
  await redis.stop();
});

/** Creates a run in its second attempt. The first one was coordinated by `early` and has completed. */
beforeEach(async () => {
  tests += 1;
  store = new RunStore(connection, names(), 60);
  const request = { input: 'hash', content: undefined, merges: false, writes: [] };
  await store.create({ id: 'run', workflow: 'work', input: null, priority: 1, request });
  await store.begin('run', 1, { owner: 'early', version: 'v1' });
  await store.transition('run', { from: ['running'], to: 'completed', attempt: 1, owner: 'early' });
  await store.replay('run', 1);
});

const isUntouched = async () => {
  expect(await store.readStatus('run')).toMatchObject({
    state: 'queued',
    attempt: 2,
    error: undefined,
    stage: undefined,
  });
  expect(await store.failedItems('run')).toEqual([]);
  expect(await store.deadLetters('run')).toEqual([]);
  expect(await store.checkpoints('run')).toEqual({});
};

it('a write for one attempt never changes the next attempt', async () => {
  const error = { code: 'step-failed', message: 'late', details: {} } as const;
  expect(await store.begin('run', 1, { owner: 'late', version: 'v1' })).toBe('superseded');
  for (const to of ['cancelled', 'paused', 'failed', 'completed'] as const) {
    const change = { from: ['queued', 'running'], to, attempt: 1 } as const;
    expect(await store.transition('run', change)).toBe('superseded');
  }
  expect(await store.saveCheckpoint('run', 'early', 'stage', '{}')).toBe(false);
  expect(await store.saveProgress('run', 'early', { stage: 'stage' })).toBe(false);
  const item = { id: 'stage#1', reference: 'row', value: 1, error, attempts: 1, at: 0 };
  expect(await store.keepFailedItem('run', 'early', item)).toBe(false);
  await store.addDeadLetter('run', 1, { reference: 'row', reason: 'late' });
  await store.recordFault('run', 2, 'a fault of the second attempt');
  await store.recordFault('run', 1, 'late');
  await store.clearFaults('run', 1);
  expect((await store.readPosition('run'))?.faults).toBe(1);
  const length = await connection.xlen(names().events('run'));
  await store.addEvent('run', 1, { type: 'stage', stage: 'late' });
  expect(await connection.xlen(names().events('run'))).toBe(length);
  await isUntouched();
});

it('a replay that is sent twice starts one attempt', async () => {
  expect(await store.replay('run', 1)).toBe('ok');
  await isUntouched();
  await store.begin('run', 2, { owner: 'later', version: 'v2' });
  expect(await store.replay('run', 1)).toBe('superseded');
  expect(await store.replay('run', 2)).toBe('running');
});

it('if there are two coordinators, only the later one can write', async () => {
  await store.begin('run', 2, { owner: 'one', version: 'v2' });
  await store.begin('run', 2, { owner: 'two', version: 'v2' });
  expect(await store.saveProgress('run', 'one', { stage: 'one' })).toBe(false);
  const change = { from: ['running'], to: 'completed', attempt: 2 } as const;
  expect(await store.transition('run', { ...change, owner: 'one' })).toBe('superseded');
  expect(await store.saveProgress('run', 'two', { stage: 'two' })).toBe(true);
  expect(await store.transition('run', { ...change, owner: 'two' })).toBe('ok');
  expect(await store.begin('run', 2, { owner: 'three', version: 'v2' })).toBe('completed');
});

it('an attempt is never continued with another version of its workflow', async () => {
  expect(await store.begin('run', 2, { owner: 'one', version: 'v2' })).toBe('ok');
  expect(await store.begin('run', 2, { owner: 'two', version: 'v3' })).toBe('changed');
  expect(await store.saveProgress('run', 'one', { stage: 'one' })).toBe(true);
  await store.transition('run', { from: ['running'], to: 'failed', attempt: 2 });
  await store.replay('run', 2);
  expect(await store.begin('run', 3, { owner: 'two', version: 'v3' })).toBe('ok');
});

it('times come from the clock of Redis, not from that of this process', async () => {
  const [seconds] = await connection.time();
  const { createdAt, startedAt } = (await store.readStatus('run'))!;
  expect(createdAt / 1000 - Number(seconds)).toBeLessThan(10);
  expect(startedAt).toBeUndefined();
});

it('the list of runs is read without their inputs and outputs', async () => {
  const input = 'x'.repeat(5_000_000);
  const request = { input: 'hash', content: undefined, merges: false, writes: [] };
  await store.create({ id: 'large', workflow: 'work', input, priority: 1, request });
  await store.begin('large', 1, { owner: 'one', version: 'v1' });
  const fields = { output: JSON.stringify(input) };
  await store.transition('large', { from: ['running'], to: 'completed', attempt: 1, owner: 'one', fields });
  const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await connection.info('stats'))?.[1]);
  const before = await sent();
  expect((await store.list(10)).map(({ id }) => id)).toEqual(['large', 'run']);
  await store.readPosition('large');
  expect((await sent()) - before).toBeLessThan(50_000);
});

it('data written after a run has ended expires with the run, which is removed from the index', async () => {
  await store.begin('run', 2, { owner: 'owner', version: 'v1' });
  await store.transition('run', { from: ['running'], to: 'cancelled', attempt: 2 });
  await store.addDeadLetter('run', 2, { reference: 'row', reason: 'late' });
  await store.saveCheckpoint('run', 'owner', 'stage', '{}');
  const parked = names().parked('run', 2);
  await connection.eval(parkScript, 2, names().run('run'), parked, 0, 'job');
  const keys = await connection.keys(`${names().prefix}:*`);
  expect(keys).toEqual(expect.arrayContaining([names().deadLetters('run'), names().checkpoints('run'), parked]));
  const left = await Promise.all(keys.map((key) => connection.ttl(key)));
  expect(keys.filter((_key, index) => left[index] === -1)).toEqual([names().runs]);
  await connection.del(names().run('run'));
  const request = { input: 'hash', content: undefined, merges: false, writes: [] };
  await store.create({ id: 'next', workflow: 'work', input: null, priority: 1, request });
  expect(await connection.zrange(names().runs, 0, -1)).toEqual(['next']);
});

it('the list of runs omits expired ones and removes them from the index', async () => {
  const request = { input: 'hash', content: undefined, merges: false, writes: [] };
  for (const id of ['second', 'third', 'fourth'])
    await store.create({ id, workflow: 'work', input: null, priority: 1, request });
  // Simulate that their retention time has passed. The older one, 'run', ended later.
  await connection.del(names().run('third'), names().run('fourth'));
  expect((await store.list(1)).map(({ id }) => id)).toEqual(['second']);
  expect((await store.list(2)).map(({ id }) => id)).toEqual(['second', 'run']);
  expect(await connection.zrevrange(names().runs, 0, -1)).toEqual(['second', 'run']);
});
