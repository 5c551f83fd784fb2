// Workers whose output is on a tmpfs that is full or read-only for a while.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { queueRuntime, type QueueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow } from '@sentvec/workflow';
import { afterEach, beforeEach, expect, it, type TestContext } from 'vitest';
import { contents, embedHere, Fleet, texts, tinyModel } from './fleet.ts';

let fleet: Fleet;
let runtime: QueueRuntime;
let disk: string;
let reason: string | undefined;

beforeEach(async () => {
  fleet = await Fleet.open();
  runtime = await queueRuntime({ url: fleet.redis.url });
  disk = fleet.path('disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'ignore' });
    reason = undefined;
  } catch {
    reason = 'this user or this machine cannot mount a small disk';
  }
});

afterEach(async () => {
  await runtime.close();
  await fleet.stopWorkers();
  if (reason === undefined) execFileSync('umount', [disk]);
  await fleet.close();
});

const needsDisk = (context: TestContext) => context.skip(reason !== undefined, reason);
const remount = (mode: 'ro' | 'rw') => execFileSync('mount', ['-o', `remount,${mode}`, disk]);

it('a run retries while the disk is full, and writes the same bytes as an undisturbed run', async (context) => {
  needsDisk(context);
  const corpus = await fleet.corpus('corpus.jsonl', texts(4000));
  await fleet.start();
  const output = `${disk}/vectors`;
  const request = { inputs: [corpus], chunkRows: 100 };
  const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request: { ...request, output } });
  await expect.poll(async () => (await run.status()).items?.done ?? 0, { timeout: 50_000 }).toBeGreaterThan(1);
  // Fills the disk: the last write is cut short when no space is left.
  await writeFile(`${disk}/ballast`, Buffer.alloc(4 * 2 ** 20)).catch(() => {});
  // Longer than the seven seconds of the four ordinary attempts.
  const notice = async () => (await run.status()).notice ?? '';
  await expect.poll(notice, { timeout: 50_000 }).toMatch(/one step at a time is executed.*disk is full/);
  await sleep(8000);
  expect((await run.status()).state).toBe('running');
  await rm(`${disk}/ballast`);
  expect(await run.result()).toMatchObject({ rows: 4000, rejected: 0, shards: 40 });
  await embedHere(corpus, fleet.path('here'), 100);
  expect(await contents(output)).toEqual(await contents(fleet.path('here')));
});

it('a run with a retry time of 0 fails with the error of the disk', async (context) => {
  needsDisk(context);
  const corpus = await fleet.corpus('corpus.jsonl', texts(20));
  await fleet.start({ SENTVEC_RETRY_TIME: '0' });
  remount('ro');
  const request = { inputs: [corpus], output: `${disk}/vectors` };
  const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
  await expect(run.result()).rejects.toMatchObject({
    code: 'io-failed',
    message: expect.stringMatching(/EROFS.*read-only/),
  });
  remount('rw');
  await run.replay();
  expect(await run.result()).toMatchObject({ rows: 20 });
});
