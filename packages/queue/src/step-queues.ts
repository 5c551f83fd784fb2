// The BullMQ queues of steps: one for each model, so that no model waits behind the steps of another, and one for the
// runs that need none.
import { createHash } from 'node:crypto';
import { Queue, type Telemetry } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { queueNames, type QueueNames } from './names.ts';
import type { PinnedModel } from './served-models.ts';

/** The name of the queue with the steps that need a model; without one, of those for any worker. */
export function stepsQueueName(model: PinnedModel | undefined): string {
  if (model === undefined) return queueNames.steps;
  const hash = createHash('sha256')
    .update(JSON.stringify([model.name, model.fingerprint]))
    .digest('hex');
  return `${queueNames.steps}-${hash.slice(0, 16)}`;
}

/** The queues of steps, each opened when it is first asked for. */
export class StepQueues {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;
  readonly #telemetry: Telemetry | undefined;
  readonly #queues = new Map<string, Queue>();

  constructor(redis: RedisConnection, names: QueueNames, telemetry?: Telemetry) {
    this.#redis = redis;
    this.#names = names;
    this.#telemetry = telemetry;
  }

  /** The steps that need a model; without one, those for any worker. */
  of(model: PinnedModel | undefined): Queue {
    return this.named(stepsQueueName(model));
  }

  named(name: string): Queue {
    const telemetry = this.#telemetry && { telemetry: this.#telemetry };
    const options = { connection: this.#redis, prefix: this.#names.prefix, skipVersionCheck: true, ...telemetry };
    const queue = this.#queues.get(name) ?? new Queue(name, options);
    if (!this.#queues.has(name)) queue.on('error', () => {});
    this.#queues.set(name, queue);
    return queue;
  }

  /** Those for any worker, and those of the models that workers serve or have served. */
  async all(): Promise<readonly { readonly model: PinnedModel | undefined; readonly queue: Queue }[]> {
    const models = (await this.#redis.zrange(this.#names.models, 0, -1)).map((json) => JSON.parse(json) as PinnedModel);
    return [undefined, ...models].map((model) => ({ model, queue: this.of(model) }));
  }

  /** Gives the queue of a model the limit that those of the others have. */
  async takeOverLimit(model: PinnedModel): Promise<void> {
    const limit = await this.of(undefined).getGlobalConcurrency();
    if (limit !== null) await this.of(model).setGlobalConcurrency(limit);
  }

  /**
   * Removes the queue of a model that no worker has served for a while, unless steps wait in it.
   *
   * @param since milliseconds since 1970, by the clock of Redis
   */
  async removeOld(since: number): Promise<void> {
    const [json] = await this.#redis.zrangebyscore(this.#names.models, 0, since, 'LIMIT', 0, 1);
    if (json === undefined) return;
    const queue = this.of(JSON.parse(json) as PinnedModel);
    const waits = Object.values(await queue.getJobCounts()).some((count) => count > 0);
    if (!waits) await queue.obliterate();
    // One in which steps wait is looked at again by whoever serves the model next.
    await this.#redis.zrem(this.#names.models, json);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()));
  }
}
