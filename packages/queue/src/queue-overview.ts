import { Queue } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { Refusals, type Refusal } from './refusals.ts';

/** Jobs of the queue of steps, by where they stand. */
export interface StepCounts {
  readonly waiting: number;
  readonly active: number;
  /** Wait for their next attempt, or for a paused run. */
  readonly delayed: number;
  readonly failed: number;
}

/** What a worker says about itself. JSON. */
export interface WorkerFacts {
  readonly id: string;
  /** When it began, and when it last gave a sign of life: milliseconds since 1970. */
  readonly since: number;
  readonly seen: number;
  readonly concurrency: number;
  /** Keys of the steps in progress. */
  readonly active: readonly string[];
  /** Whatever else its application counts. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Seconds after which a silent worker is no longer listed. */
const silence = 30;

/** Looks at a whole queue: how much there is, who works on it, what was refused. */
export class QueueOverview {
  readonly names: QueueNames;
  /** The queues of BullMQ, for tools that know those. */
  readonly queues: { readonly runs: Queue; readonly waves: Queue; readonly steps: Queue };
  readonly #redis: RedisConnection;
  readonly #refusals: Refusals;

  constructor(redis: RedisConnection, queue: string) {
    this.names = namesOf(queue);
    this.#redis = redis;
    this.#refusals = new Refusals(redis, this.names);
    const open = (name: string) => {
      const opened = new Queue(name, { connection: redis, prefix: this.names.prefix, skipVersionCheck: true });
      opened.on('error', () => {});
      return opened;
    };
    this.queues = { runs: open(queueNames.runs), waves: open(queueNames.waves), steps: open(queueNames.steps) };
  }

  async counts(): Promise<StepCounts> {
    const counts = await this.queues.steps.getJobCounts('wait', 'prioritized', 'active', 'delayed', 'failed');
    const of = (...states: string[]) => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
    return { waiting: of('wait', 'prioritized'), active: of('active'), delayed: of('delayed'), failed: of('failed') };
  }

  /** The most steps in progress at once, over all workers; `undefined` for no limit. */
  async limitConcurrency(most: number | undefined): Promise<void> {
    if (most === undefined) await this.queues.steps.removeGlobalConcurrency();
    else await this.queues.steps.setGlobalConcurrency(most);
  }

  /** Newest first. */
  async refusals(limit = 100): Promise<readonly Refusal[]> {
    return this.#refusals.list(limit);
  }

  /** A worker's sign of life. */
  async announce(facts: WorkerFacts): Promise<void> {
    const key = this.names.worker(facts.id);
    await this.#redis
      .multi()
      .set(key, JSON.stringify(facts), 'EX', silence)
      .zadd(this.names.workers, facts.seen, facts.id)
      .zremrangebyscore(this.names.workers, 0, facts.seen - silence * 1000)
      .exec();
  }

  /** A worker's farewell. */
  async dismiss(id: string): Promise<void> {
    await this.#redis.multi().del(this.names.worker(id)).zrem(this.names.workers, id).exec();
  }

  /** The workers that gave a sign of life lately. */
  async workers(): Promise<readonly WorkerFacts[]> {
    const ids = await this.#redis.zrange(this.names.workers, 0, -1);
    const facts = await Promise.all(ids.map((id) => this.#redis.get(this.names.worker(id))));
    return facts.flatMap((json) => (json === null ? [] : [JSON.parse(json) as WorkerFacts]));
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.queues).map((queue) => queue.close().catch(() => {})));
  }
}
