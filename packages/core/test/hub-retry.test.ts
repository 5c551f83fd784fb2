import { SentvecError } from '@sentvec/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PassingFailure } from '@sentvec/platform';
import { responseError } from '../src/hub/errors.ts';
import { waitForHub } from '../src/hub/retry.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-11-28T12:00:00Z') });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Milliseconds of the wait after a number of failures, with a fixed random number (0 to 1). */
async function waitAfter(failures: number, random: number, failure: unknown = new Error('reset')): Promise<number> {
  vi.spyOn(Math, 'random').mockReturnValue(random);
  const start = Date.now();
  const measure = async (): Promise<number> => {
    await waitForHub(failure, failures, 'The download', { retries: 100 });
    return Date.now() - start;
  };
  const waited = measure();
  await vi.runAllTimersAsync();
  return waited;
}

describe('the wait before an attempt is repeated', () => {
  it('doubles with each failure, up to 8 seconds', async () => {
    const waits: number[] = [];
    for (const failures of [1, 2, 3, 4, 5, 6, 20, 60]) waits.push(await waitAfter(failures, 0.5));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
  });

  it('is randomly up to a quarter longer or shorter, even at its maximum', async () => {
    expect([await waitAfter(1, 0), await waitAfter(1, 1)]).toEqual([375, 625]);
    expect([await waitAfter(60, 0), await waitAfter(60, 1)]).toEqual([6000, 10_000]);
  });

  it('is at least what the server requests, and randomly up to a quarter longer', async () => {
    const failure = new PassingFailure('too many requests', 20_000);
    expect([await waitAfter(1, 0, failure), await waitAfter(1, 1, failure)]).toEqual([20_000, 25_000]);
  });

  it('does not happen when the failure is permanent, or there have been too many', async () => {
    const refused = new SentvecError('model-not-found', 'none');
    await expect(waitForHub(refused, 1, 'It', { retries: 4 })).rejects.toBe(refused);
    await expect(waitForHub(new Error('reset'), 5, 'It', { retries: 4 })).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('It failed, 5 times in a row: reset.'),
    });
  });
});

describe('Retry-After', () => {
  const retryAfterOf = async (value: string): Promise<number> => {
    const response = new Response(null, { status: 429, headers: { 'retry-after': value } });
    const url = 'https://hub.test/x';
    const exchange = { model: 'm', revision: 'main', url, finalUrl: url, hasToken: false };
    return ((await responseError(response, exchange)) as PassingFailure).wait;
  };

  it.each([
    ['7', 7000],
    ['0', 0],
    ['Sat, 28 Nov 2026 12:00:20 GMT', 20_000],
    ['Sat, 28 Nov 2026 11:59:00 GMT', 0],
    ['3600', 60_000],
    ['Sun, 29 Nov 2026 12:00:00 GMT', 60_000],
    ['soon', 0],
    ['-5', 0],
    ['1e9', 0],
  ])('%s', async (value, wait) => {
    expect(await retryAfterOf(value)).toBe(wait);
  });
});
