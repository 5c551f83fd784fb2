import { checkCount } from '@sentvec/platform';
import type { RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';
import { rateLimitScript } from './run-scripts.ts';

/** How many steps all workers of a queue together may begin. */
export interface RateLimitSetting {
  readonly max: number;
  /** Milliseconds. */
  readonly duration: number;
}

/** @throws SentvecError `invalid-argument` unless both are whole numbers of at least 1 */
export function checkRateLimit({ max, duration }: RateLimitSetting): void {
  checkCount(max, 'rateLimit.max');
  checkCount(duration, 'rateLimit.duration');
}

/**
 * The rate limit of a queue. It is stored in Redis and holds for all workers. Only steps that begin count, so a job
 * that is parked or given back does not use up the limit: BullMQ's own limiter counts every job that it hands out.
 */
export class RateLimit {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;

  constructor(redis: RedisConnection, names: QueueNames) {
    this.#redis = redis;
    this.#names = names;
  }

  /** Sets the limit for all workers; `undefined` lifts it. @throws SentvecError `invalid-argument` */
  async set(limit: RateLimitSetting | undefined): Promise<void> {
    if (limit) checkRateLimit(limit);
    const { rateLimit, rateCounter } = this.#names;
    if (limit) await this.#redis.hset(rateLimit, { max: limit.max, duration: limit.duration });
    else await this.#redis.del(rateLimit, rateCounter);
  }

  /** Counts a step that begins. Gives 0, or the milliseconds after which the caller may ask again. */
  async tryBegin(): Promise<number> {
    const { rateLimit, rateCounter } = this.#names;
    return (await this.#redis.eval(rateLimitScript, 2, rateLimit, rateCounter)) as number;
  }
}
