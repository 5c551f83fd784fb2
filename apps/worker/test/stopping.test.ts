// A worker exits by its deadline even if one of its steps hangs, and refuses files that could block it.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { queueRuntime, type QueueRuntime } from '@sentvec/queue';
import { embedCorpusWorkflow, silentLogger } from '@sentvec/workflow';
import { readConfiguration, startWorkerApp } from '@sentvec/worker';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Fleet, texts, tinyModel } from './fleet.ts';
import hanging from './hanging-workflow.mjs';

let fleet: Fleet;
let runtime: QueueRuntime;
let fifo: string;

beforeEach(async () => {
  fleet = await Fleet.open();
  runtime = await queueRuntime({ url: fleet.redis.url });
  fifo = fleet.path('fifo');
  execFileSync('mkfifo', [fifo]);
});

afterEach(async () => {
  await runtime.close();
  await fleet.close();
});

it.each([
  ['the opening of a FIFO hangs', false],
  ['a step blocks the event loop', true],
])('a worker ends at SIGTERM although %s', async (_what, blocks) => {
  const settings = { SENTVEC_STOP_TIMEOUT: '3', SENTVEC_PLUGINS: join(import.meta.dirname, 'hanging-workflow.mjs') };
  const worker = await fleet.start(settings);
  const run = await runtime.start(hanging, { fifo, blocks });
  for await (const event of run.events()) if (event.type === 'progress') break;
  worker.process.kill('SIGTERM');
  await worker.ended;
  expect(worker.process.signalCode).toBe('SIGKILL');
  expect(worker.log.at(-1)?.msg).toMatch(blocks ? /^killed: / : /^(stopped|killed: )/);
});

it('a FIFO is refused as an input', async () => {
  await fleet.start();
  const request = { inputs: [fifo], output: fleet.path('vectors') };
  const run = await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request });
  await expect(run.result()).rejects.toMatchObject({
    code: 'job-refused',
    message: expect.stringContaining('not a regular file'),
  });
  const corpus = await fleet.corpus('corpus.jsonl', texts(10));
  const good = { inputs: [corpus], output: fleet.path('vectors') };
  await (await runtime.start(embedCorpusWorkflow(), { model: tinyModel, request: good })).result();
});

it('a worker that waits for Redis stops on SIGTERM', async () => {
  await fleet.redis.kill();
  const stopping = new AbortController();
  const configuration = readConfiguration({ redis: fleet.redis.url, model: tinyModel, port: '0' }, {});
  const starting = startWorkerApp(configuration, { logger: silentLogger, signal: stopping.signal });
  setTimeout(() => stopping.abort(), 500);
  // Without the signal, it would fail with an error about the unreachable Redis.
  await expect(starting).rejects.toMatchObject({ code: 'aborted' });
});
