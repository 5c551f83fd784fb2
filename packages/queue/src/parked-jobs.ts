// Parks steps of a run as delayed BullMQ jobs, and puts them back into the queue when they are due.
import { DelayedError, ErrorCode, Job } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import type { RunJob } from './jobs.ts';
import type { QueueNames } from './names.ts';
import { dueScript, parkScript, probeScript, unparkScript } from './run-scripts.ts';
import type { RunAttempt } from './run-watcher.ts';
import type { PinnedModel } from './served-models.ts';
import type { StepQueues } from './step-queues.ts';

/**
 * A far future time (in 2039), as the delay of parked jobs. It keeps a job out of the queue independent of the clocks
 * of the workers. BullMQ multiplies it by 4096, and the product must be an exact double.
 */
const farFuture = 2 ** 41 - 1;

/** Maximum number of jobs that are released together. */
const maxReleased = 100;

/**
 * Steps that wait as delayed jobs, because their run is paused or until their next attempt. Waiting costs nothing. The
 * coordinator of their run releases them, by the clock of Redis.
 */
export class ParkedJobs {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;
  readonly #steps: Pick<StepQueues, 'of'>;

  constructor(redis: RedisConnection, names: QueueNames, steps: Pick<StepQueues, 'of'>) {
    this.#redis = redis;
    this.#names = names;
    this.#steps = steps;
  }

  /**
   * Parks a job that this worker is processing.
   *
   * @param milliseconds the time until it may be released
   * @returns never: it rejects with BullMQ's DelayedError, which tells BullMQ that the job was moved
   */
  async park(job: Job, token: string | undefined, { run, attempt }: RunJob, milliseconds = 0): Promise<never> {
    // Recorded before it is moved. If it is released in between, the record stays, and it is released again.
    const keys = [this.#names.run(run), this.#names.parked(run, attempt)];
    await this.#redis.eval(parkScript, keys.length, ...keys, milliseconds, job.id ?? '');
    await job.moveToDelayed(farFuture, token);
    throw new DelayedError();
  }

  /** Returns the due parked jobs of an attempt to the queue, unless the run is paused. */
  async release({ id, attempt, model }: RunAttempt): Promise<void> {
    const key = this.#names.parked(id, attempt);
    const due = (await this.#redis.eval(dueScript, 2, key, this.#names.run(id), maxReleased)) as string[];
    await this.#promote(key, due, model);
  }

  /** For an open circuit breaker: returns one due parked job to the queue. Returns `false` if none is due. */
  async releaseProbe({ id, attempt, model }: RunAttempt): Promise<boolean> {
    const key = this.#names.parked(id, attempt);
    const due = (await this.#redis.eval(probeScript, 2, key, this.#names.run(id), attempt)) as string[];
    await this.#promote(key, due, model);
    return due.length > 0;
  }

  /** @param due pairs of job id and due time */
  async #promote(key: string, due: readonly string[], model: PinnedModel | undefined): Promise<void> {
    const records = due.flatMap((id, index) => (index % 2 === 0 ? [[id, due[index + 1]!] as const] : []));
    await Promise.all(
      records.map(async ([id, time]) => {
        const job = await Job.fromId(this.#steps.of(model), id);
        try {
          await job?.promote();
        } catch (error) {
          if (!isNotParked(error)) throw error;
          // The worker that is parking the job has recorded it but not moved it yet.
          if ((await job?.getState()) === 'active') return;
        }
        // Another worker may have taken the job and parked it again meanwhile, so compare the time.
        await this.#redis.eval(unparkScript, 1, key, id, time);
      }),
    );
  }

  /** Removes all parked jobs of an attempt that is over. */
  async clear({ id, attempt, model }: RunAttempt): Promise<void> {
    const key = this.#names.parked(id, attempt);
    for (const job of await this.#redis.zrange(key, 0, -1)) await this.#steps.of(model).remove(job);
    await this.#redis.del(key);
  }
}

/** Whether BullMQ could not promote a job because it is not delayed or does not exist. */
function isNotParked(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === ErrorCode.JobNotInState || code === ErrorCode.JobNotExist;
}
