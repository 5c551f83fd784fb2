import { checkCount } from '@sentvec/platform';
import type { RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';
import { rateLimitScript } from './run-scripts.ts';

/** The rate limit of a queue: all workers together may begin `max` steps per `duration`. */
export interface RateLimitSetting {
  readonly max: number;
  /** The period in milliseconds. */
  readonly duration: number;
}

/** @throws SentvecError `invalid-argument` unless both are whole numbers of at least 1 */
export function checkRateLimit({ max, duration }: RateLimitSetting): void {
  checkCount(max, 'rateLimit.max');
  checkCount(duration, 'rateLimit.duration');
}

/**
 * The rate limit of a queue. It is stored in Redis and applies to all workers. It counts only steps that begin.
 * BullMQ's own limiter is not used, because it counts every job that a worker takes, even if the job is then parked or
 * returned.
 */
export class RateLimit {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;

  constructor(redis: RedisConnection, names: QueueNames) {
    this.#redis = redis;
    this.#names = names;
  }

  /** Sets the limit for all workers; `undefined` removes it. @throws SentvecError `invalid-argument` */
  async set(limit: RateLimitSetting | undefined): Promise<void> {
    if (limit) checkRateLimit(limit);
    const { rateLimit, rateCounter } = this.#names;
    if (limit) await this.#redis.hset(rateLimit, { max: limit.max, duration: limit.duration });
    else await this.#redis.del(rateLimit, rateCounter);
  }

  /**
   * Counts a step that is about to begin. Returns 0 if it may begin, or the milliseconds to wait before the next try.
   */
  async tryBegin(): Promise<number> {
    const { rateLimit, rateCounter } = this.#names;
    return (await this.#redis.eval(rateLimitScript, 2, rateLimit, rateCounter)) as number;
  }
}
