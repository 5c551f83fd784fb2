// The connection of a program that starts and watches runs. Every action fails fast if Redis is unreachable.
import { once } from 'node:events';
import { SentvecError } from '@sentvec/core';
import { hasEnded, type RunEvent, type RunStatus } from '@sentvec/workflow';
import type { Queue, Telemetry } from 'bullmq';
import { reasonOf, redactUrl, within, type RedisConnection } from './connection.ts';
import { addRunJob, type RunJob } from './jobs.ts';
import { namesOf, type QueueNames } from './names.ts';
import { readEvents, type ReadEventsOptions } from './run-events.ts';
import { openRunQueue } from './run-queue.ts';
import { RunStore } from './run-store.ts';
import { Schedules } from './schedules.ts';
import { idleReason, serves, WorkerRegistry, type WorkerFacts } from './worker-registry.ts';

/** Timeout of a producer's action in milliseconds. */
export const actionTimeout: number = 1500;

/** Options of {@link QueueClient}. */
export interface QueueClientOptions {
  readonly url: string;
  readonly queue: string;
  readonly retentionSeconds: number;
  readonly telemetry?: Telemetry | undefined;
}

/** Access to the stored runs and to the queue of runs over one connection. */
export class QueueClient {
  readonly names: QueueNames;
  readonly #redis: RedisConnection;
  readonly #store: RunStore;
  readonly #registry: WorkerRegistry;
  readonly #queue: Queue;
  readonly #schedules: Schedules;
  readonly #url: string;

  constructor(redis: RedisConnection, { url, queue, retentionSeconds, telemetry }: QueueClientOptions) {
    this.names = namesOf(queue);
    this.#redis = redis;
    this.#url = url;
    this.#store = new RunStore(redis, this.names, retentionSeconds);
    this.#registry = new WorkerRegistry(redis, this.names);
    this.#queue = openRunQueue(redis, this.names.prefix, telemetry);
    this.#schedules = new Schedules(redis, this.names, this.#queue, this.#store);
  }

  /**
   * Reads or changes the stored runs. @throws SentvecError `queue-unavailable` when Redis does not answer in time
   */
  async withStore<T>(action: (store: RunStore) => Promise<T>): Promise<T> {
    return this.#inTime(() => action(this.#store));
  }

  /** Adds an attempt of a run to the queue. Idempotent. @throws SentvecError `queue-unavailable` */
  async enqueue(job: RunJob): Promise<void> {
    const priority = await this.withStore((store) => store.readPriority(job.run));
    await this.#inTime(() => addRunJob(this.#queue, job, priority));
  }

  /** Reads or changes the schedules. @throws SentvecError `queue-unavailable` when Redis does not answer in time */
  async withSchedules<T>(action: (schedules: Schedules) => Promise<T>): Promise<T> {
    return this.#inTime(() => action(this.#schedules));
  }

  /** @throws SentvecError `queue-unavailable` */
  async workers(): Promise<readonly WorkerFacts[]> {
    return (await this.#inTime(() => this.#registry.read())).workers;
  }

  /** Adds notices to statuses: why no worker works on a run. @throws SentvecError `queue-unavailable` */
  async withNotices(statuses: readonly RunStatus[]): Promise<readonly RunStatus[]> {
    if (statuses.every(({ state }) => hasEnded(state))) return statuses;
    const workers = await this.workers();
    return Promise.all(
      statuses.map(async (status) => {
        if (hasEnded(status.state)) return status;
        const isServed = status.model === undefined || workers.some((worker) => serves(worker, status));
        const lastSeen = isServed ? undefined : await this.#inTime(() => this.#registry.lastSeen(status.model!));
        return { ...status, notice: idleReason(workers, status, lastSeen) ?? status.notice };
      }),
    );
  }

  events(options: ReadEventsOptions): AsyncIterable<RunEvent> {
    return readEvents(this.#redis, this.#store, this.names, options);
  }

  async close(): Promise<void> {
    await this.#queue.close().catch(() => {});
    this.#redis.disconnect();
  }

  async #inTime<T>(work: () => Promise<T>): Promise<T> {
    try {
      // A lost connection is restored automatically, often within the timeout.
      return await within(connected(this.#redis).then(work), actionTimeout);
    } catch (cause) {
      if (SentvecError.is(cause)) throw cause;
      const isLate = cause instanceof Error && cause.name === 'TimeoutError';
      const what = isLate
        ? `did not answer within ${actionTimeout} ms. The request may still be executed`
        : `failed: ${reasonOf(cause)}`;
      throw new SentvecError('queue-unavailable', `The Redis at ${redactUrl(this.#url)} ${what}.`, {}, { cause });
    }
  }
}

async function connected(redis: RedisConnection): Promise<void> {
  if (redis.status !== 'ready') await once(redis, 'ready', { signal: AbortSignal.timeout(actionTimeout) });
}
