/** How quickly the work of a dead worker is taken over. */
export interface RecoverySettings {
  /**
   * Milliseconds after which a worker that gave no sign of life has lost its jobs. It gives one at least every quarter
   * of that time, so that its event loop may be blocked for three quarters. Default 10,000.
   */
  readonly lockDuration: number;
  /** Milliseconds between two looks for lost jobs. Default 2000. */
  readonly stalledInterval: number;
  /** How many workers a step may take down with it before it counts as failed. Default 20. */
  readonly maxStalledCount: number;
}

/** By these, a worker may be silent for 7.5 s, and a dead one's jobs are back in the queue after at most 14 s. */
export const defaultRecovery: RecoverySettings = { lockDuration: 10_000, stalledInterval: 2000, maxStalledCount: 20 };

/**
 * Milliseconds after which a worker renews its locks. BullMQ looks twice in that time, so that no lock gets older than
 * it.
 */
export function lockRenewTime({ lockDuration }: RecoverySettings): number {
  return lockDuration / 4;
}

/**
 * Milliseconds from the death of a worker until its jobs are back in the queue, at the most, while another worker
 * lives. They are first in line there, and wait for no backoff.
 *
 * A lock that was renewed just before the death expires `lockDuration` after it. The next look after that finds the
 * job, if one before it has marked the job as suspect. All workers look every `stalledInterval`, but after a look that
 * counted Redis lets none count for as long: one that comes a millisecond early is in vain, and so two that count may
 * be two intervals apart.
 */
export function longestRecovery({ lockDuration, stalledInterval }: RecoverySettings): number {
  const betweenLooks = 2 * stalledInterval;
  return Math.max(lockDuration, betweenLooks) + betweenLooks;
}
