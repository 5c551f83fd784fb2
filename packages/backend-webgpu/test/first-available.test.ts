import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx } from '@sentvec/backend-onnx';
import { firstAvailable, SentvecError, type Backend } from '@sentvec/core';
import { goldenFiles, goldenModel } from '@sentvec/testing';
import { backendChecks } from '@sentvec/testing/backend-checks';
import { afterAll, describe, expect, it } from 'vitest';

const cacheDirectory = await mkdtemp(join(tmpdir(), 'sentvec-first-available-'));
afterAll(() => rm(cacheDirectory, { recursive: true, force: true }));

const missing = (name: string): Backend => ({
  specificationVersion: 1,
  name,
  isAvailable: async () => ({ available: false, reason: `There is no ${name} here.` }),
  load: () => Promise.reject(new Error('must not be asked')),
});

describe('backend contract of firstAvailable', () => {
  const backend = firstAvailable([missing('gpu'), onnx({ cacheDirectory, sessions: 1 })]);
  // The chosen backend is tested elsewhere, thoroughly and with every golden model: here with few repetitions, and a model
  // of each kind. Only many loads show what memory they leave behind.
  const thorough = backendChecks(backend, goldenFiles);
  const models = new Set(['tiny-bert', 'late-bert', 'splade-bert-max', 'rerank-bert-1-label']);
  const checks = backendChecks(backend, goldenFiles, { slowDevice: true })
    .map((check, index) => (check.name.includes('memory') ? thorough[index]! : check))
    .filter(({ name }) => !name.includes(': ') || models.has(name.split(':')[0]!));
  it.each(checks.map(({ name, run }) => [name, run] as const))('%s', async (_, run) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe('firstAvailable', () => {
  it('names the backend that it has chosen', async () => {
    const availability = await firstAvailable([missing('gpu'), onnx({ cacheDirectory })]).isAvailable();
    expect(availability).toEqual({ available: true, device: expect.stringMatching(/^onnx: /u) });
  });
  it('gives the reason of each when none can work', async () => {
    const backend = firstAvailable([missing('gpu'), missing('npu')]);
    const reason =
      'None of the backends is available on this machine. gpu: There is no gpu here. npu: There is no npu here.';
    expect(await backend.isAvailable()).toEqual({ available: false, reason });
    await expect(backend.load(goldenModel('tiny-bert'))).rejects.toSatisfy(
      (error) => SentvecError.is(error, 'backend-unavailable') && error.message === reason,
    );
  });
  it('refuses an empty list', () => {
    expect(() => firstAvailable([])).toThrow('at least one');
  });
});
