import { Queue } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { RateLimit, type RateLimitSetting } from './rate-limit.ts';
import { RefusedJobs, type RefusedJob } from './refused-jobs.ts';

/** How many jobs the queue of steps has, by their state. */
export interface StepCounts {
  readonly waiting: number;
  readonly active: number;
  /** Waiting for their next attempt, or for a paused run. */
  readonly delayed: number;
  readonly failed: number;
}

/** What a worker says about itself in each heartbeat. JSON. */
export interface WorkerFacts {
  readonly id: string;
  /** When it started: milliseconds since 1970. */
  readonly startedAt: number;
  /** When it sent this heartbeat: milliseconds since 1970. */
  readonly seenAt: number;
  readonly concurrency: number;
  /** Keys of the active steps. */
  readonly active: readonly string[];
  /** Counters of its application. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Seconds without a heartbeat after which a worker is no longer listed. */
const heartbeatTimeout = 30;

/** A view of a whole queue: its jobs, its workers, and what they refused. */
export class QueueOverview {
  readonly names: QueueNames;
  /** The BullMQ queues, for tools that work with those. */
  readonly queues: { readonly runs: Queue; readonly batches: Queue; readonly steps: Queue };
  readonly #redis: RedisConnection;
  readonly #refusedJobs: RefusedJobs;
  readonly #rateLimit: RateLimit;

  constructor(redis: RedisConnection, queue: string) {
    this.names = namesOf(queue);
    this.#redis = redis;
    this.#refusedJobs = new RefusedJobs(redis, this.names);
    this.#rateLimit = new RateLimit(redis, this.names);
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

  /** Registers a worker, or keeps it registered for another 30 seconds. */
  async heartbeat(facts: WorkerFacts): Promise<void> {
    const key = this.names.worker(facts.id);
    await this.#redis
      .multi()
      .set(key, JSON.stringify(facts), 'EX', heartbeatTimeout)
      .zadd(this.names.workers, facts.seenAt, facts.id)
      .zremrangebyscore(this.names.workers, 0, facts.seenAt - heartbeatTimeout * 1000)
      .exec();
  }

  /** Removes a worker that stops. */
  async deregister(id: string): Promise<void> {
    await this.#redis.multi().del(this.names.worker(id)).zrem(this.names.workers, id).exec();
  }

  /** The registered workers. */
  async workers(): Promise<readonly WorkerFacts[]> {
    const ids = await this.#redis.zrange(this.names.workers, 0, -1);
    const facts = await Promise.all(ids.map((id) => this.#redis.get(this.names.worker(id))));
    return facts.flatMap((json) => (json === null ? [] : [JSON.parse(json) as WorkerFacts]));
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.queues).map((queue) => queue.close().catch(() => {})));
  }
}
