// An operator's view of a queue: jobs, workers, refused jobs, and the limits of concurrency and rate.
import { checkCount } from '@sentvec/platform';
import { Queue } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { RateLimit, type RateLimitSetting } from './rate-limit.ts';
import { WorkerRegistry, type WorkerFacts } from './worker-registry.ts';
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
  /** The BullMQ queues, for tools that use them directly. */
  readonly queues: { readonly runs: Queue; readonly batches: Queue; readonly steps: Queue };
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
    this.queues = { runs: open(queueNames.runs), batches: open(queueNames.batches), steps: open(queueNames.steps) };
  }

  async counts(): Promise<StepCounts> {
    const counts = await this.queues.steps.getJobCounts('wait', 'prioritized', 'active', 'delayed', 'failed');
    const of = (...states: string[]) => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
    return { waiting: of('wait', 'prioritized'), active: of('active'), delayed: of('delayed'), failed: of('failed') };
  }

  /** Limits the number of active steps of all workers together; `undefined` removes the limit. */
  async limitConcurrency(max: number | undefined): Promise<void> {
    if (max !== undefined) checkCount(max, 'max');
    if (max === undefined) await this.queues.steps.removeGlobalConcurrency();
    else await this.queues.steps.setGlobalConcurrency(max);
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
    await Promise.all(Object.values(this.queues).map((queue) => queue.close().catch(() => {})));
  }
}
