/** How fast another worker takes over the jobs of a dead worker. See docs/adr/0012. */
export interface RecoverySettings {
  /**
   * Milliseconds after which the lock of a job expires if its worker does not renew it. Locks are renewed after a
   * quarter of this time, so the event loop may be blocked for three quarters of it.
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
   * How often a step may stall (be lost with its worker) before it counts as failed.
   *
   * @default 20
   */
  readonly maxStalledCount: number;
  /**
   * If all workers decline a job, how many milliseconds it waits for another worker before its run fails. The time is
   * measured from the start of the newest worker, or from the first worker that declined it, whichever is longer ago.
   *
   * @default 10_000
   */
  readonly declineTimeout: number;
}

/**
 * The default settings. The event loop of a worker may be blocked for 7.5 s, and a dead worker's jobs are back in the
 * queue after at most 14 s.
 */
export const defaultRecovery: RecoverySettings = {
  lockDuration: 10_000,
  stalledInterval: 2000,
  maxStalledCount: 20,
  declineTimeout: 10_000,
};

/** BullMQ's `lockRenewTime` in milliseconds: locks are renewed before they reach this age. */
export function lockRenewTime({ lockDuration }: Pick<RecoverySettings, 'lockDuration'>): number {
  return lockDuration / 4;
}

/**
 * Maximum milliseconds from the death of a worker until its jobs are back in the queue, if another worker is running.
 * The jobs are at the head of the queue, without a backoff.
 *
 * A lock that was renewed just before the death expires `lockDuration` later. The next check then finds the job, if an
 * earlier check has marked it. All workers check every `stalledInterval`, but Redis ignores further checks within one
 * interval after a check. A check that comes a millisecond too early is ignored, so two effective checks may be two
 * intervals apart.
 */
export function longestRecovery({ lockDuration, stalledInterval }: RecoverySettings): number {
  const betweenChecks = 2 * stalledInterval;
  return Math.max(lockDuration, betweenChecks) + betweenChecks;
}
