import { SentvecError } from '@sentvec/core';
import type { RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';
import { maxJobBytes } from './jobs.ts';

/** A job that a worker did not touch. JSON. */
export interface Refusal {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly queue: string;
  readonly job: string;
  readonly reason: string;
  /** The worker that refused. */
  readonly worker: string;
}

const keptRefusals = 1000;
const longestReason = 500;

/** Jobs that were refused, for whoever watches over the queue. */
export class Refusals {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;

  constructor(redis: RedisConnection, names: QueueNames) {
    this.#redis = redis;
    this.#names = names;
  }

  async add(refusal: Refusal): Promise<void> {
    // A reason may quote what it refuses.
    const entry = JSON.stringify({
      ...refusal,
      reason: refusal.reason.slice(0, longestReason),
      job: refusal.job.slice(0, longestReason),
    });
    await this.#redis
      .multi()
      .lpush(this.#names.refused, entry)
      .ltrim(this.#names.refused, 0, keptRefusals - 1)
      .exec();
  }

  /** Newest first. */
  async list(limit: number): Promise<readonly Refusal[]> {
    const entries = await this.#redis.lrange(this.#names.refused, 0, limit - 1);
    return entries.map((entry) => JSON.parse(entry) as Refusal);
  }
}

/** @throws SentvecError `job-refused` for a job that is larger than any of ours */
export function checkJobSize(data: unknown): void {
  const bytes = Buffer.byteLength(JSON.stringify(data) ?? '');
  if (bytes <= maxJobBytes) return;
  throw new SentvecError('job-refused', `The job has ${bytes} bytes; at most ${maxJobBytes} are allowed.`, { bytes });
}

/** A schema's complaint about a job, as a refusal. */
export function asRefusal(error: unknown): SentvecError {
  const message = error instanceof Error ? error.message : String(error);
  return SentvecError.is(error, 'job-refused') ? error : new SentvecError('job-refused', message, {}, { cause: error });
}
