/** How quickly another worker takes over the jobs of a dead one. See docs/adr/0012. */
export interface RecoverySettings {
  /**
   * Milliseconds for which a worker keeps the lock of a job without renewing it. It renews a lock when a quarter of
   * that time has passed, so its event loop may be blocked for three quarters.
   *
   * @default 10_000
   */
  readonly lockDuration: number;
  /**
   * Milliseconds between two checks for jobs whose lock has expired.
   *
   * @default 2000
   */
  readonly stalledInterval: number;
  /**
   * How often a step may be lost with its worker before it counts as failed.
   *
   * @default 20
   */
  readonly maxStalledCount: number;
  /**
   * Milliseconds that a job which no worker can do waits for one that can, before its run fails: from the start of the
   * newest worker, or from the first worker that declined it, whichever is longer ago.
   *
   * @default 10_000
   */
  readonly declineTimeout: number;
}

/** With these a worker may be blocked for 7.5 s, and a dead worker's jobs are back in the queue after at most 14 s. */
export const defaultRecovery: RecoverySettings = {
  lockDuration: 10_000,
  stalledInterval: 2000,
  maxStalledCount: 20,
  declineTimeout: 10_000,
};

/** The age in milliseconds at which a worker renews a lock. BullMQ checks twice as often, so no lock gets older. */
export function lockRenewTime({ lockDuration }: Pick<RecoverySettings, 'lockDuration'>): number {
  return lockDuration / 4;
}

/**
 * The most milliseconds from the death of a worker until its jobs are back in the queue, while another worker lives.
 * They are first in line there, without a backoff.
 *
 * A lock that was renewed just before the death expires `lockDuration` later. The next check after that finds the job,
 * provided that an earlier check has marked it. All workers check every `stalledInterval`, but for that long after a
 * check Redis ignores any other: one that comes a millisecond early is lost, so two effective checks may be two
 * intervals apart.
 */
export function longestRecovery({ lockDuration, stalledInterval }: RecoverySettings): number {
  const betweenChecks = 2 * stalledInterval;
  return Math.max(lockDuration, betweenChecks) + betweenChecks;
}
