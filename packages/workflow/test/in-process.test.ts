import { runtimeContract } from '@sentvec/testing';
import { inProcessRuntime } from '@sentvec/workflow';
import { expect, it } from 'vitest';

runtimeContract({
  name: 'in-process',
  readsAhead: 3,
  connect: async () => {
    const runtime = inProcessRuntime();
    return { runtime, elsewhere: async () => runtime, close: () => runtime.close() };
  },
});

it('refuses options that it does not have, and numbers that make no sense', () => {
  expect(() => inProcessRuntime({ parallel: 2 } as never)).toThrow(/has no option "parallel"/);
  for (const concurrency of [0, -1, 1.5, NaN, Infinity])
    expect(() => inProcessRuntime({ concurrency })).toThrow(/concurrency must be a whole number of at least 1/);
});
