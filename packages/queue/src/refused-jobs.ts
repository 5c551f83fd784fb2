// Refused jobs: jobs that a worker does not execute because their data is invalid. Their list in Redis, and their
// errors.
import { SentvecError } from '@sentvec/core';
import type { RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';
import { maxJobBytes } from './jobs.ts';

/** A job that a worker refused to execute. JSON. */
export interface RefusedJob {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly queue: string;
  readonly job: string;
  readonly reason: string;
  /** Id of the worker that refused it. */
  readonly worker: string;
}

const keptRefusedJobs = 1000;
const maxReasonLength = 500;

/** The list of refused jobs in Redis, for operators of the queue. */
export class RefusedJobs {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;

  constructor(redis: RedisConnection, names: QueueNames) {
    this.#redis = redis;
    this.#names = names;
  }

  async add(refused: RefusedJob): Promise<void> {
    // A reason may quote the job, which may be large.
    const entry = JSON.stringify({
      ...refused,
      reason: refused.reason.slice(0, maxReasonLength),
      job: refused.job.slice(0, maxReasonLength),
    });
    await this.#redis
      .multi()
      .lpush(this.#names.refused, entry)
      .ltrim(this.#names.refused, 0, keptRefusedJobs - 1)
      .exec();
  }

  /** The refused jobs, newest first. */
  async list(limit: number): Promise<readonly RefusedJob[]> {
    const entries = await this.#redis.lrange(this.#names.refused, 0, limit - 1);
    return entries.map((entry) => JSON.parse(entry) as RefusedJob);
  }
}

/** @throws SentvecError `job-refused` when the job is larger than any valid job */
export function checkJobSize(data: unknown): void {
  const bytes = Buffer.byteLength(JSON.stringify(data) ?? '');
  if (bytes <= maxJobBytes) return;
  throw new SentvecError('job-refused', `The job has ${bytes} bytes; the maximum is ${maxJobBytes}.`, { bytes });
}

/** Converts an error to one with the code `job-refused`. */
export function jobRefusedError(error: unknown): SentvecError {
  const message = error instanceof Error ? error.message : String(error);
  return SentvecError.is(error, 'job-refused') ? error : new SentvecError('job-refused', message, {}, { cause: error });
}
