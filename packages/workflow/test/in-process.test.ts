import { runtimeContract } from '@sentvec/testing';
import { defineStep, defineWorkflow, inProcessRuntime } from '@sentvec/workflow';
import * as v from 'valibot';
import { expect, it } from 'vitest';

runtimeContract({
  name: 'in-process',
  readsAhead: 3,
  connect: async () => {
    const runtime = inProcessRuntime();
    return { runtime, elsewhere: async () => runtime, close: () => runtime.close() };
  },
});

it('refuses unknown options and invalid numbers', () => {
  expect(() => inProcessRuntime({ parallel: 2 } as never)).toThrow(/has no option "parallel"/);
  for (const concurrency of [0, -1, 1.5, NaN, Infinity])
    expect(() => inProcessRuntime({ concurrency })).toThrow(/concurrency must be a whole number of at least 1/);
});

it('lists the newest hundred runs', async () => {
  const pass = defineStep({ id: 'pass', input: v.number(), output: v.number(), run: (value) => value });
  const workflow = defineWorkflow({ id: 'many', input: v.number() }).step(pass);
  const runtime = inProcessRuntime();
  for (let run = 0; run <= 100; run += 1) await (await runtime.start(workflow, run, { id: `run-${run}` })).result();
  expect((await runtime.list()).map(({ id }) => id)).toEqual(
    Array.from({ length: 100 }, (_, index) => `run-${100 - index}`),
  );
});
