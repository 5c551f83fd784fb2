// The workers of a queue: their heartbeats, what each reports, and why a run may have no worker.
import type { RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';

/** A step that a worker executes. JSON. */
export interface ActiveStep {
  /** Run, stage and index: `r1f0c/embed#7`. */
  readonly key: string;
  /** The last progress that the step reported. The embedding of a chunk says `{ rows, tokens }`. */
  readonly progress: unknown;
}

/** What a worker says about itself in each heartbeat. JSON. */
export interface WorkerFacts {
  /** Host, process and a few random digits. */
  readonly id: string;
  /** When it started, by the clock of Redis: milliseconds since 1970. */
  readonly startedAt: number;
  /** How many steps it executes at once. */
  readonly concurrency: number;
  /** The version of each workflow that it serves, by id. See `workflowVersion`. */
  readonly workflows: Readonly<Record<string, string>>;
  /** The active steps. */
  readonly active: readonly ActiveStep[];
  /** Counters of its application. */
  readonly counts: Readonly<Record<string, number>>;
  /** Why it takes no steps for a while: it could not do the last few. */
  readonly setAside: string | undefined;
}

/** The workers of a queue at a moment. */
export interface Fleet {
  /** By the clock of Redis: milliseconds since 1970. */
  readonly now: number;
  readonly workers: readonly WorkerFacts[];
}

/** Milliseconds without a heartbeat after which a worker is no longer listed. */
const heartbeatTimeout = 30_000;

/**
 * Registers worker ARGV[1] with its facts ARGV[2] for ARGV[3] milliseconds, and removes those whose heartbeats have
 * stopped.
 */
const heartbeatScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - ARGV[3])`;

/** The workers of a queue in Redis, each for as long as it sends heartbeats. */
export class WorkerRegistry {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;

  constructor(redis: RedisConnection, names: QueueNames) {
    this.#redis = redis;
    this.#names = names;
  }

  /** Registers a worker, or keeps it registered. */
  async heartbeat(facts: WorkerFacts): Promise<void> {
    const keys = [this.#names.workers, this.#names.worker(facts.id)];
    await this.#redis.eval(heartbeatScript, keys.length, ...keys, facts.id, JSON.stringify(facts), heartbeatTimeout);
  }

  /** Removes a worker that stops. */
  async deregister(id: string): Promise<void> {
    await this.#redis.multi().del(this.#names.worker(id)).zrem(this.#names.workers, id).exec();
  }

  async read(): Promise<Fleet> {
    const [ids, now] = await Promise.all([this.#redis.zrange(this.#names.workers, 0, -1), this.now()]);
    const facts = ids.length === 0 ? [] : await this.#redis.mget(ids.map((id) => this.#names.worker(id)));
    return { now, workers: facts.flatMap((json) => (json === null ? [] : [JSON.parse(json) as WorkerFacts])) };
  }

  /** The time by the clock of Redis: milliseconds since 1970. */
  async now(): Promise<number> {
    const [seconds, microseconds] = await this.#redis.time();
    return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
  }
}

/** A workflow, in the version that a run began with; a run that has not begun has none yet. */
export interface RequiredWorkflow {
  readonly workflow: string;
  readonly version: string | undefined;
}

/** Whether a worker serves a workflow in that version. */
export function serves({ workflows }: WorkerFacts, { workflow, version }: RequiredWorkflow): boolean {
  return Object.hasOwn(workflows, workflow) && (version === undefined || workflows[workflow] === version);
}

/** Why no worker works on a run, in a sentence; `undefined` when one does. */
export function idleReason(workers: readonly WorkerFacts[], required: RequiredWorkflow): string | undefined {
  const { workflow } = required;
  if (workers.length === 0) return 'No worker serves this queue.';
  const ids = new Set(workers.flatMap((worker) => Object.keys(worker.workflows)));
  if (!ids.has(workflow))
    return `No worker serves workflow "${workflow}". They serve: ${[...ids].join(', ') || 'none'}.`;
  const able = workers.filter((worker) => serves(worker, required));
  if (able.length === 0) {
    return `Workflow "${workflow}" has changed since the run began, and no worker serves the version it began with.`;
  }
  const reasons = able.map(({ id, setAside }) => setAside && `${id}: ${setAside}`);
  return reasons.every(Boolean) ? `No worker could do the last steps. ${reasons.join(' ')}` : undefined;
}
