// A coordinator that takes over a run in an inconsistent state makes the run fail with the reason.
import { defineStep, defineWorkflow, workflowVersion } from '@sentvec/workflow';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { RunStore } from '../src/run-store.ts';
import { queueForEachTest } from './queue-for-each-test.ts';
import { count } from './workflows.mjs';

const queue = queueForEachTest('takeover');
const item = defineStep({ id: 'item', input: v.number(), output: v.number(), run: (value) => value });
const workflow = defineWorkflow({ id: 'counting', input: v.number() }).step(count).forEach(item);

it('a source that yields fewer items than the first coordinator has read fails the run', async () => {
  const run = await queue.runtime.start(workflow, 3);
  const store = new RunStore(queue.connection, queue.overview.names, 60);
  await store.begin(run.id, 1, { owner: 'first', version: workflowVersion(workflow) });
  const batches = [{ number: 0, first: 0, count: 5 }];
  const checkpoint = { items: 0, total: null, batches, next: 1, complete: false };
  await store.saveCheckpoint(run.id, 'first', 'item', JSON.stringify(checkpoint));
  await queue.serve({ workflows: [workflow] });
  await expect(run.result()).rejects.toMatchObject({
    code: 'invalid-argument',
    message: expect.stringContaining('yielded 3 items when it was read again, but at least 5 before'),
  });
});

it('a run that cannot be coordinated fails after the last retry of its job', async () => {
  const run = await queue.runtime.start(workflow, 3);
  await queue.connection.hset(queue.overview.names.run(run.id), 'input', '{');
  const { runs } = queue.overview.queues;
  const job = (await runs.getJob(`${run.id}.1`))!;
  await job.remove();
  await runs.add('run', job.data, { ...job.opts, attempts: 2, backoff: { type: 'fixed', delay: 10 } });
  await queue.serve({ workflows: [workflow] });
  await expect(run.result()).rejects.toMatchObject({ code: 'step-failed', message: expect.stringContaining('JSON') });
});

it('a run whose producer died before adding its job is executed nevertheless', async () => {
  const { connection, overview, runtime } = queue;
  await connection.call('CLIENT', 'PAUSE', '2000', 'ALL');
  await expect(runtime.start(workflow, 3, { id: 'orphan' })).rejects.toMatchObject({
    code: 'queue-unavailable',
    message: expect.stringContaining('did not answer within 1500 ms. The request may still be executed.'),
  });
  await expect.poll(async () => (await runtime.find('orphan').catch(() => undefined))?.id).toBe('orphan');
  expect(await overview.queues.runs.count()).toBe(0);
  // Make the run old enough to be adopted.
  await connection.zadd(overview.names.pending, 0, 'orphan');
  await queue.serve({ workflows: [workflow] });
  const run = (await runtime.find('orphan'))!;
  expect(await run.result()).toMatchObject({ count: 3 });
  expect(await connection.exists(overview.names.pending)).toBe(0);
});
