// An operator's view of a queue, and its limits: jobs, workers, refused jobs, concurrency, rate.
import { checkCount } from '@sentvec/platform';
import { Queue } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { RateLimit, type RateLimitSetting } from './rate-limit.ts';
import { WorkerRegistry, type WorkerFacts } from './worker-registry.ts';
import { RefusedJobs, type RefusedJob } from './refused-jobs.ts';

/** How many jobs the queue of steps has, by their state. */
export interface StepCounts {
  readonly waiting: number;
  readonly active: number;
  /** Waiting for their next attempt, or for a paused run. */
  readonly delayed: number;
  readonly failed: number;
}

/** A view of a whole queue: its jobs, its workers, and what they refused. */
export class QueueOverview {
  readonly names: QueueNames;
  /** The BullMQ queues, for tools that work with those. */
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

  /** Limits how many steps are active at once in all workers together; `undefined` lifts the limit. */
  async limitConcurrency(max: number | undefined): Promise<void> {
    if (max !== undefined) checkCount(max, 'max');
    if (max === undefined) await this.queues.steps.removeGlobalConcurrency();
    else await this.queues.steps.setGlobalConcurrency(max);
  }

  /** Sets how many steps all workers together may begin; `undefined` lifts the limit. */
  async limitRate(limit: RateLimitSetting | undefined): Promise<void> {
    await this.#rateLimit.set(limit);
  }

  /** Newest first. */
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
