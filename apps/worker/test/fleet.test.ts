import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { connectRedis, QueueOverview, queueRuntime } from '@sentvec/queue';
import { readConfiguration, startWorkerApp } from '@sentvec/worker';
import { embedCorpusWorkflow, silentLogger, type Runtime } from '@sentvec/workflow';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { breakable } from './breakable-backend.ts';
import { contents, embedHere, Fleet, texts, tinyModel } from './fleet.ts';

let fleet: Fleet;
let runtime: Runtime;

beforeEach(async () => {
  fleet = await Fleet.open();
  runtime = await queueRuntime({ url: fleet.redis.url });
});

afterEach(async () => {
  await runtime.close();
  await fleet.close();
});

// The first load of a model writes its ONNX graph to the cache; load it here so that the workers do not race for that.
beforeAll(async () => {
  await (await loadEmbedder(tinyModel, { backend: onnx({ sessions: 1 }) })).dispose();
});

describe('one, two and four workers', () => {
  it('write the same bytes as an in-process run', async () => {
    const corpus = await fleet.corpus('corpus.jsonl', texts(3000));
    await embedHere(corpus, fleet.path('here'), 100);
    const expected = await contents(fleet.path('here'));
    expect(expected.size).toBe(30 + 2);
    for (const count of [1, 2, 4]) {
      while (fleet.workers.length < count) await fleet.start();
      const output = fleet.path(`fleet-${count}`);
      const run = await runtime.start(embedCorpusWorkflow(), {
        model: tinyModel,
        request: { inputs: [corpus], output, chunkRows: 100 },
      });
      expect(await run.result()).toMatchObject({ rows: 3000, rejected: 0, shards: 30 });
      expect(await contents(output)).toEqual(expected);
    }
  });
});

describe('a run that is cancelled', () => {
  it('stops in the middle of a chunk, and writes the same bytes after it is resumed', async () => {
    const corpus = await fleet.corpus('corpus.jsonl', texts(2000));
    const backend = breakable(onnx({ sessions: 1, threadsPerSession: 1 }));
    // About fifty batches, which take five seconds.
    backend.delay = 100;
    const configuration = readConfiguration(
      { redis: fleet.redis.url, root: fleet.root, model: tinyModel, port: '0', concurrency: '1' },
      {},
    );
    const app = await startWorkerApp(configuration, { logger: silentLogger, backend });
    const request = { inputs: [corpus], output: fleet.path('vectors'), chunkRows: 1000, batchTokens: 256 };
    const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
    for await (const event of run.events()) if (event.type === 'progress') break;
    await run.cancel();
    const metrics = async () => (await fetch(`${app.url}/metrics`)).text();
    await expect
      .poll(metrics, { timeout: 60_000 })
      .toContain('sentvec_steps_total{stage="embed",outcome="cancelled"} 1');
    expect(await metrics()).not.toContain('sentvec_steps_total{stage="embed",outcome="completed"}');
    backend.delay = 0;
    await run.replay();
    expect(await run.result()).toMatchObject({ rows: 2000 });
    await app.stop();
    await embedHere(corpus, fleet.path('here'), 1000, { batchTokens: 256 });
    expect(await contents(fleet.path('vectors'))).toEqual(await contents(fleet.path('here')));
  });
});

describe('SIGTERM under load', () => {
  it('stops the worker within its deadline, and no step is lost or stalled', async () => {
    const corpus = await fleet.corpus('corpus.jsonl', texts(6000));
    const first = await fleet.start({ SENTVEC_STOP_TIMEOUT: '20' });
    const request = { inputs: [corpus], output: fleet.path('vectors'), chunkRows: 300 };
    const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
    await expect.poll(async () => (await run.status()).items?.done ?? 0, { timeout: 50_000 }).toBeGreaterThan(1);
    const second = await fleet.start();
    first.process.kill('SIGTERM');
    expect(await first.ended).toBe(0);
    expect(first.log.at(-1)?.msg).toBe('stopped');
    expect(await run.result()).toMatchObject({ rows: 6000, rejected: 0, shards: 20 });
    expect(second.log.filter(({ msg }) => msg.includes('recovered'))).toEqual([]);
    await embedHere(corpus, fleet.path('here'), 300);
    expect(await contents(fleet.path('vectors'))).toEqual(await contents(fleet.path('here')));
  });

  it('returns unfinished steps to the queue at the deadline', async () => {
    const corpus = await fleet.corpus('corpus.jsonl', texts(30_000));
    const hurried = await fleet.start({ SENTVEC_STOP_TIMEOUT: '3' });
    const request = { inputs: [corpus], output: fleet.path('vectors'), chunkRows: 15_000 };
    const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
    const connection = await connectRedis(fleet.redis.url, 'producer');
    const overview = new QueueOverview(connection, 'sentvec');
    await expect.poll(async () => (await run.status()).stage, { timeout: 50_000 }).toBe('embed');
    await expect.poll(async () => (await overview.counts()).active, { timeout: 20_000 }).toBe(2);
    hurried.process.kill('SIGTERM');
    expect(await hurried.ended).toBe(0);
    expect(await overview.counts()).toMatchObject({ active: 0 });
    await run.cancel();
    await overview.close();
    connection.disconnect();
  });
});
