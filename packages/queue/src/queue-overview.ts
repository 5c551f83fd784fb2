// An operator's view of a queue: jobs, workers, refused jobs, and the limits of concurrency and rate.
import { checkCount } from '@sentvec/platform';
import { Queue } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { RateLimit, type RateLimitSetting } from './rate-limit.ts';
import { WorkerRegistry, type WorkerFacts } from './worker-registry.ts';
import { StepQueues } from './step-queues.ts';
import { RefusedJobs, type RefusedJob } from './refused-jobs.ts';

/** Numbers of jobs in the queue of steps, by state. */
export interface StepCounts {
  readonly waiting: number;
  readonly active: number;
  /** Parked: waiting for their next attempt, or for a paused run. */
  readonly delayed: number;
  readonly failed: number;
}

/** A view of a whole queue: its jobs, its workers and its refused jobs. */
export class QueueOverview {
  readonly names: QueueNames;
  /** The BullMQ queues, for tools that use them directly. `steps` has the steps of runs that need no model. */
  readonly queues: { readonly runs: Queue; readonly batches: Queue; readonly steps: Queue };
  readonly #steps: StepQueues;
  readonly #refusedJobs: RefusedJobs;
  readonly #rateLimit: RateLimit;
  readonly #registry: WorkerRegistry;

  constructor(redis: RedisConnection, queue: string) {
    this.names = namesOf(queue);
    this.#refusedJobs = new RefusedJobs(redis, this.names);
    this.#rateLimit = new RateLimit(redis, this.names);
    this.#registry = new WorkerRegistry(redis, this.names);
    const open = (name: string) => {
      const opened = new Queue(name, { connection: redis, prefix: this.names.prefix, skipVersionCheck: true });
      opened.on('error', () => {});
      return opened;
    };
    this.#steps = new StepQueues(redis, this.names);
    this.queues = { runs: open(queueNames.runs), batches: open(queueNames.batches), steps: this.#steps.of(undefined) };
  }

  async counts(): Promise<StepCounts> {
    const all = await Promise.all(
      (await this.#steps.all()).map(({ queue }) =>
        queue.getJobCounts('wait', 'prioritized', 'active', 'delayed', 'failed'),
      ),
    );
    const of = (...states: string[]) =>
      all.reduce((sum, counts) => states.reduce((more, state) => more + (counts[state] ?? 0), sum), 0);
    return { waiting: of('wait', 'prioritized'), active: of('active'), delayed: of('delayed'), failed: of('failed') };
  }

  /** The BullMQ queues of steps of all models, for tools that use them directly. */
  async modelQueues(): Promise<readonly Queue[]> {
    return (await this.#steps.all()).slice(1).map(({ queue }) => queue);
  }

  /**
   * Limits the number of active steps of all workers together, for each model separately; `undefined` removes the limit.
   */
  async limitConcurrency(max: number | undefined): Promise<void> {
    if (max !== undefined) checkCount(max, 'max');
    for (const { queue } of await this.#steps.all()) {
      if (max === undefined) await queue.removeGlobalConcurrency();
      else await queue.setGlobalConcurrency(max);
    }
  }

  /** Limits how many steps all workers together may begin in a period; `undefined` removes the limit. */
  async limitRate(limit: RateLimitSetting | undefined): Promise<void> {
    await this.#rateLimit.set(limit);
  }

  /** The refused jobs, newest first. */
  async refusedJobs(limit = 100): Promise<readonly RefusedJob[]> {
    return this.#refusedJobs.list(limit);
  }

  /** The workers that send heartbeats. */
  async workers(): Promise<readonly WorkerFacts[]> {
    return (await this.#registry.read()).workers;
  }

  async close(): Promise<void> {
    await Promise.all(
      [this.queues.runs, this.queues.batches, this.#steps].map((queue) => queue.close().catch(() => {})),
    );
  }
}
