// Parks steps of a run as delayed BullMQ jobs, and puts them back into the queue when they are due.
import { DelayedError, ErrorCode, Job, type Queue } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import type { RunJob } from './jobs.ts';
import type { QueueNames } from './names.ts';
import { dueScript, parkScript, probeScript, unparkScript } from './run-scripts.ts';
import type { RunAttempt } from './run-watcher.ts';

/**
 * The delay until this time (2039) keeps a job out of the queue, whatever the clocks of the workers say. BullMQ
 * multiplies it by 4096, and the product must be an exact double.
 */
const never = 2 ** 41 - 1;

/** The most jobs that are released at once. */
const maxReleased = 100;

/**
 * Steps that wait outside the queue, at no cost: for a paused run, or for their next attempt. The coordinator of their
 * run releases them, by the clock of Redis.
 */
export class ParkedJobs {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;
  readonly #steps: Queue;

  constructor(redis: RedisConnection, names: QueueNames, steps: Queue) {
    this.#redis = redis;
    this.#names = names;
    this.#steps = steps;
  }

  /**
   * Parks a job that this worker holds.
   *
   * @param milliseconds until it may be released
   * @returns never: rejects with the error by which BullMQ learns that the job has left the worker
   */
  async park(job: Job, token: string | undefined, { run, attempt }: RunJob, milliseconds = 0): Promise<never> {
    // Recorded first: a job that is recorded and not parked yet stays recorded when it is released.
    const keys = [this.#names.run(run), this.#names.parked(run, attempt)];
    await this.#redis.eval(parkScript, keys.length, ...keys, milliseconds, job.id ?? '');
    await job.moveToDelayed(never, token);
    throw new DelayedError();
  }

  /** Puts the parked jobs of an attempt that have waited long enough back into the queue, unless the run is paused. */
  async release({ id, attempt }: RunAttempt): Promise<void> {
    const key = this.#names.parked(id, attempt);
    const due = (await this.#redis.eval(dueScript, 2, key, this.#names.run(id), maxReleased)) as string[];
    await this.#promote(key, due);
  }

  /** Puts one parked job of an attempt whose circuit breaker is open back into the queue. `false` when none is due. */
  async releaseProbe({ id, attempt }: RunAttempt): Promise<boolean> {
    const key = this.#names.parked(id, attempt);
    const due = (await this.#redis.eval(probeScript, 2, key, this.#names.run(id), attempt)) as string[];
    await this.#promote(key, due);
    return due.length > 0;
  }

  /** @param due ids of jobs, each followed by the time for which it was parked */
  async #promote(key: string, due: readonly string[]): Promise<void> {
    const records = due.flatMap((id, index) => (index % 2 === 0 ? [[id, due[index + 1]!] as const] : []));
    await Promise.all(
      records.map(async ([id, time]) => {
        const job = await Job.fromId(this.#steps, id);
        try {
          await job?.promote();
        } catch (error) {
          if (!isNotParked(error)) throw error;
          // A worker that is parking the job has recorded it, and has not moved it yet.
          if ((await job?.getState()) === 'active') return;
        }
        // Another worker may have taken the job and parked it again by now.
        await this.#redis.eval(unparkScript, 1, key, id, time);
      }),
    );
  }

  /** Removes what is still parked when an attempt is over: jobs that no batch of it knows. */
  async clear({ id, attempt }: RunAttempt): Promise<void> {
    const key = this.#names.parked(id, attempt);
    for (const job of await this.#redis.zrange(key, 0, -1)) await this.#steps.remove(job);
    await this.#redis.del(key);
  }
}

/** Whether BullMQ refused to promote a job because it is not delayed, or is not there (any longer). */
function isNotParked(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === ErrorCode.JobNotInState || code === ErrorCode.JobNotExist;
}
