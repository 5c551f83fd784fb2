// The registry of the workers of a queue: heartbeats, facts about each worker, and reasons why a run has no worker.
import type { RedisConnection } from './connection.ts';
import type { NeededModel } from '@sentvec/workflow';
import type { QueueNames } from './names.ts';
import { servesModel, unservedReason, type ModelServer, type PinnedModel } from './served-models.ts';

/** An active step of a worker. JSON. */
export interface ActiveStep {
  /** Run, stage and index: `r1f0c/embed#7`. */
  readonly key: string;
  /** The last reported progress of the step. For embedding a chunk: `{ rows, tokens }`. */
  readonly progress: unknown;
}

/** The content of a worker's heartbeat. JSON. */
export interface WorkerFacts extends ModelServer {
  /** Host, process id and a few random digits. */
  readonly id: string;
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
 * Registers worker ARGV[1] with its facts ARGV[2] for ARGV[3] milliseconds, and the models ARGV[4 …] that it serves, and
 * removes the workers whose heartbeats have stopped.
 */
const heartbeatScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1])
for index = 4, #ARGV do redis.call('ZADD', KEYS[3], now, ARGV[index]) end
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
    const keys = [this.#names.workers, this.#names.worker(facts.id), this.#names.models];
    const models = pinnedModels(facts).map((model) => JSON.stringify(model));
    const values = [facts.id, JSON.stringify(facts), heartbeatTimeout, ...models];
    await this.#redis.eval(heartbeatScript, keys.length, ...keys, ...values);
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

  /** Time of the last heartbeat of a worker with a model, in milliseconds since 1970. */
  async lastSeen({ name, fingerprint }: NeededModel): Promise<number | undefined> {
    const score = await this.#redis.zscore(this.#names.models, JSON.stringify({ name, fingerprint }));
    return score === null ? undefined : Number(score);
  }

  /** The current time by the clock of Redis, in milliseconds since 1970. */
  async now(): Promise<number> {
    // By a script with a key: of a cluster, the command itself would ask any node, and their clocks differ.
    return (await this.#redis.eval(clockScript, 1, this.#names.workers)) as number;
  }
}

/** The models of a worker that have been loaded. */
export function pinnedModels({ models = [] }: ModelServer): readonly PinnedModel[] {
  return models.flatMap(({ name, fingerprint }) => (fingerprint === undefined ? [] : [{ name, fingerprint }]));
}

/** The workflow version and model of a run. The version is undefined if the run has not begun. */
export interface RequiredWorkflow {
  readonly workflow: string;
  readonly version: string | undefined;
  /** What its steps need. */
  readonly model?: NeededModel | undefined;
}

/** Whether a worker has a workflow in this version, and the model. */
export function serves(worker: WorkerFacts, { workflow, version, model }: RequiredWorkflow): boolean {
  const { workflows } = worker;
  if (model !== undefined && !servesModel(worker, model)) return false;
  return Object.hasOwn(workflows, workflow) && (version === undefined || workflows[workflow] === version);
}

/**
 * The reason why no worker works on a run, in a sentence; `undefined` if a worker can.
 *
 * @param lastSeen time of the last heartbeat of a worker with the model of the run, in milliseconds since 1970
 */
export function idleReason(
  workers: readonly WorkerFacts[],
  required: RequiredWorkflow,
  lastSeen?: number,
): string | undefined {
  const { workflow, version, model } = required;
  if (workers.length === 0) return 'No worker serves this queue.';
  const ids = new Set(workers.flatMap((worker) => Object.keys(worker.workflows)));
  if (!ids.has(workflow))
    return `No worker serves workflow "${workflow}". They serve: ${[...ids].join(', ') || 'none'}.`;
  const capable = workers.filter((worker) => serves(worker, { workflow, version }));
  if (capable.length === 0) {
    return `Workflow "${workflow}" has changed since the run began, and no worker serves the version it began with.`;
  }
  const able = capable.filter((worker) => serves(worker, required));
  if (model !== undefined && able.length === 0) return unservedReason(capable, model, lastSeen);
  const reasons = able.map(({ id, setAside }) => setAside && `${id}: ${setAside}`);
  return reasons.every(Boolean) ? `No worker could do the last steps. ${reasons.join(' ')}` : undefined;
}
