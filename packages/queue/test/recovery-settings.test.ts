import { expect, it } from 'vitest';
import { defaultRecovery, lockRenewTime, longestRecovery } from '../src/recovery-settings.ts';

it('the jobs of a dead worker are back in the queue within 15 seconds', () => {
  expect(longestRecovery(defaultRecovery)).toBeLessThanOrEqual(15_000);
});

it('if the check interval is longer than the lock duration, a stalled job may be detected only by the second check', () => {
  expect(longestRecovery({ ...defaultRecovery, lockDuration: 1000, stalledInterval: 4000 })).toBe(16_000);
});

it('a worker whose event loop is blocked for five seconds keeps its locks', () => {
  expect(defaultRecovery.lockDuration - lockRenewTime(defaultRecovery)).toBeGreaterThan(5000);
});
