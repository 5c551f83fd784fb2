// Several models and new weights in one fleet of real processes: the right workers do the work, byte for byte.
import { cp, rm } from 'node:fs/promises';
import { goldenPath } from '@sentvec/testing';
import { queueRuntime, type QueueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow } from '@sentvec/workflow';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { contents, embedHere, Fleet, texts, tinyModel } from './fleet.ts';

const otherModel = goldenPath('models/tiny-mpnet');

let fleet: Fleet;
let runtime: QueueRuntime;

beforeEach(async () => {
  fleet = await Fleet.open();
  runtime = await queueRuntime({ url: fleet.redis.url });
});

afterEach(async () => {
  await runtime.close();
  await fleet.close();
});

const chunkRows = 25;

const start = async (model: string, inputs: string[], output: string, fingerprint?: string) =>
  runtime.start(embedCorpusWorkflow(), { model, fingerprint, request: { inputs, output, chunkRows } });

async function mustEqual(output: string, expected: string): Promise<void> {
  expect(await contents(output)).toEqual(await contents(expected));
}

it('a fleet with two models writes what this process writes with each of them', async () => {
  const corpus = await fleet.corpus('corpus.jsonl', texts(1000));
  await Promise.all([
    fleet.start({ SENTVEC_MODELS: tinyModel }),
    fleet.start({ SENTVEC_MODELS: otherModel }),
    fleet.start({ SENTVEC_MODELS: `${tinyModel},${otherModel}` }),
  ]);
  const models = [tinyModel, otherModel];
  const runs = await Promise.all(models.map((model, index) => start(model, [corpus], fleet.path(`fleet-${index}`))));
  for (const run of runs) expect(await run.result()).toMatchObject({ rows: 1000, rejected: 0, shards: 40 });
  const workers = await runtime.workers();
  expect(workers.map(({ models: served = [] }) => served.length).toSorted((a, b) => a - b)).toEqual([1, 1, 2]);
  expect(workers.flatMap(({ models: served = [] }) => served.map(({ backend }) => backend))).not.toContain(undefined);
  const reasons = fleet.workers.flatMap(({ log }) => log.filter(({ msg }) => msg === 'a job was refused'));
  expect(reasons).toEqual([]);
  for (const [index, model] of models.entries()) {
    await embedHere(corpus, fleet.path(`here-${index}`), chunkRows, { model });
    await mustEqual(fleet.path(`fleet-${index}`), fleet.path(`here-${index}`));
  }
});

it('a rolling update finishes old runs with the old weights, which it waits for, and mixes nothing', async () => {
  const corpus = await fleet.corpus('corpus.jsonl', texts(1000));
  const model = fleet.path('model');
  const weights = async (folder: string): Promise<void> => {
    await rm(model, { recursive: true, force: true });
    await cp(folder, model, { recursive: true });
  };
  await weights(tinyModel);
  await embedHere(corpus, fleet.path('old-here'), chunkRows, { model });
  // Slow enough that the old worker leaves in the middle of its run.
  const settings = { SENTVEC_MODELS: model, SENTVEC_RATE_LIMIT: '10/1' };
  const old = await fleet.start(settings);
  const oldRun = await start(model, [corpus], fleet.path('old'));
  await expect.poll(async () => (await oldRun.status()).items?.done ?? 0, { timeout: 50_000 }).toBeGreaterThan(2);

  await weights(otherModel);
  await embedHere(corpus, fleet.path('new-here'), chunkRows, { model });
  await fleet.start(settings);
  await expect.poll(async () => (await runtime.workers()).every(({ models }) => models?.[0]?.fingerprint)).toBe(true);
  old.process.kill('SIGTERM');
  expect(await old.ended).toBe(0);
  const newRun = await start(model, [corpus], fleet.path('new'));
  expect(await newRun.result()).toMatchObject({ rows: 1000, shards: 40 });
  await mustEqual(fleet.path('new'), fleet.path('new-here'));
  const { state, notice, model: wanted } = await oldRun.status();
  expect(state).toBe('running');
  expect(notice).toMatch(
    /needs model .*model with fingerprint [0-9a-f]{12}: no live worker serves it; last seen .*They have it: with/,
  );

  await weights(tinyModel);
  await fleet.start(settings);
  expect(await oldRun.result()).toMatchObject({ rows: 1000, rejected: 0, shards: 40 });
  await mustEqual(fleet.path('old'), fleet.path('old-here'));
  const named = await start(model, [corpus], fleet.path('named'), wanted!.fingerprint!.slice(0, 12));
  expect((await named.result()) as object).toMatchObject({ rows: 1000 });
  await mustEqual(fleet.path('named'), fleet.path('old-here'));
});
