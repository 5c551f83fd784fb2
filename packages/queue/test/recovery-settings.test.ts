import { expect, it } from 'vitest';
import { defaultRecovery, lockRenewTime, longestRecovery } from '../src/recovery-settings.ts';

it('the jobs of a dead worker are back in less than 20 seconds, with five of them for a free hand', () => {
  expect(longestRecovery(defaultRecovery)).toBeLessThanOrEqual(15_000);
});

it('looks that are further apart than a lock lives may find a job only at the second one', () => {
  expect(longestRecovery({ ...defaultRecovery, lockDuration: 1000, stalledInterval: 4000 })).toBe(16_000);
});

it('a worker whose event loop is blocked for five seconds keeps its locks', () => {
  expect(defaultRecovery.lockDuration - lockRenewTime(defaultRecovery)).toBeGreaterThan(5000);
});
