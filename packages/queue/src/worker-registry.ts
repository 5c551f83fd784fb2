// The registry of the workers of a queue: heartbeats, facts about each worker, and reasons why a run has no worker.
import type { RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';

/** An active step of a worker. JSON. */
export interface ActiveStep {
  /** Run, stage and index: `r1f0c/embed#7`. */
  readonly key: string;
  /** The last reported progress of the step. For embedding a chunk: `{ rows, tokens }`. */
  readonly progress: unknown;
}

/** The content of a worker's heartbeat. JSON. */
export interface WorkerFacts {
  /** Host, process id and a few random digits. */
  readonly id: string;
  /** Start time by the clock of Redis, in milliseconds since 1970. */
  readonly startedAt: number;
  /** Maximum number of concurrent steps. */
  readonly concurrency: number;
  /** The versions of its workflows, by id. See `workflowVersion`. */
  readonly workflows: Readonly<Record<string, string>>;
  /** The active steps. */
  readonly active: readonly ActiveStep[];
  /** Counters of the application. */
  readonly counts: Readonly<Record<string, number>>;
  /** If the worker is set aside because it declined its last steps: the reason. */
  readonly setAside: string | undefined;
}

/** A snapshot of the workers of a queue. */
export interface Fleet {
  /** Time by the clock of Redis, in milliseconds since 1970. */
  readonly now: number;
  readonly workers: readonly WorkerFacts[];
}

/** Milliseconds without a heartbeat after which a worker is no longer listed. */
const heartbeatTimeout = 30_000;

const clockScript = `
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)`;

/**
 * Registers worker ARGV[1] with its facts ARGV[2] for ARGV[3] milliseconds, and removes workers whose heartbeats have
 * stopped.
 */
const heartbeatScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - ARGV[3])`;

/** The registry of workers in Redis. A worker is listed as long as it sends heartbeats. */
export class WorkerRegistry {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;

  constructor(redis: RedisConnection, names: QueueNames) {
    this.#redis = redis;
    this.#names = names;
  }

  /** Registers a worker, or renews its registration. */
  async heartbeat(facts: WorkerFacts): Promise<void> {
    const keys = [this.#names.workers, this.#names.worker(facts.id)];
    await this.#redis.eval(heartbeatScript, keys.length, ...keys, facts.id, JSON.stringify(facts), heartbeatTimeout);
  }

  /** Removes a worker. */
  async deregister(id: string): Promise<void> {
    await this.#redis.multi().del(this.#names.worker(id)).zrem(this.#names.workers, id).exec();
  }

  async read(): Promise<Fleet> {
    const [ids, now] = await Promise.all([this.#redis.zrange(this.#names.workers, 0, -1), this.now()]);
    const facts = ids.length === 0 ? [] : await this.#redis.mget(ids.map((id) => this.#names.worker(id)));
    return { now, workers: facts.flatMap((json) => (json === null ? [] : [JSON.parse(json) as WorkerFacts])) };
  }

  /** The current time by the clock of Redis, in milliseconds since 1970. */
  async now(): Promise<number> {
    // By a script with a key: of a cluster, the command itself would ask any node, and their clocks differ.
    return (await this.#redis.eval(clockScript, 1, this.#names.workers)) as number;
  }
}

/** A workflow in the version of a run. The version is undefined if the run has not begun. */
export interface RequiredWorkflow {
  readonly workflow: string;
  readonly version: string | undefined;
}

/** Whether a worker has a workflow in this version. */
export function serves({ workflows }: WorkerFacts, { workflow, version }: RequiredWorkflow): boolean {
  return Object.hasOwn(workflows, workflow) && (version === undefined || workflows[workflow] === version);
}

/** The reason why no worker works on a run, in a sentence; `undefined` if a worker can. */
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
