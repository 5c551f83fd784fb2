// Schedules: workflows that run at the times of a cron expression. Each time, a BullMQ job scheduler adds a job to the
// queue of runs; the worker that takes it creates a new run, unless the previous run has not ended.
import { SentvecError } from '@sentvec/core';
import { canonicalJson, checkMaxFailed, checkOptionNames, type MaxFailed, type OptionNames } from '@sentvec/platform';
import { hasEnded } from '@sentvec/workflow';
import { getNextMillis, type Job, type Queue } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { addRunJob, type ScheduleJob } from './jobs.ts';
import type { QueueNames } from './names.ts';
import type { RunStore } from './run-store.ts';

/** Options of a schedule. */
export interface ScheduleOptions {
  /**
   * At most 40 letters, digits, `-` and `_`, beginning with a letter. An existing schedule with this name is replaced.
   */
  readonly name: string;
  /**
   * A cron expression: minute, hour, day of the month, month, day of the week. With six fields, the first is seconds.
   */
  readonly every: string;
  /**
   * The time zone of `every`, such as `Europe/Berlin`.
   * @default the time zone of this process
   */
  readonly timeZone?: string | undefined;
  /**
   * Priority of its runs: 1 (highest) to 1000.
   * @default 100
   */
  readonly priority?: number | undefined;
  /**
   * How many items of each of its runs may fail: see `StartOptions` of `@sentvec/workflow`.
   * @default 0
   */
  readonly maxFailed?: MaxFailed | undefined;
}

/** A schedule. JSON. */
export interface Schedule {
  readonly name: string;
  readonly workflow: string;
  readonly input: unknown;
  readonly every: string;
  readonly timeZone: string;
  /** The time of the next run. Milliseconds since 1970, like all times here. */
  readonly next: number | undefined;
  /** The latest run and its scheduled time. */
  readonly last?: { readonly run: string; readonly at: number } | undefined;
  /** The latest skipped time, if it is after the latest run, and the reason in a sentence. */
  readonly skipped?: { readonly at: number; readonly reason: string } | undefined;
}

/** The stored record of a schedule, in addition to BullMQ's job scheduler. */
type ScheduleRecord = Pick<Schedule, 'last' | 'skipped'>;

const optionNames: OptionNames<ScheduleOptions> = {
  name: true,
  every: true,
  timeZone: true,
  priority: true,
  maxFailed: true,
};

/** Ended jobs of schedules are removed, because the run has the result. */
const jobOptions = {
  removeOnComplete: true,
  removeOnFail: true,
  attempts: 1000,
  backoff: { type: 'fixed', delay: 1000 },
} as const;

/**
 * Validates the options of a schedule.
 *
 * @throws SentvecError `invalid-argument`
 */
export function checkSchedule(options: ScheduleOptions): { readonly every: string; readonly timeZone: string } {
  checkOptionNames('schedule()', options, optionNames);
  const { name, every, timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone } = options;
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,39}$/u.test(name))
    throw new SentvecError(
      'invalid-argument',
      `"${name}" is not a valid name of a schedule. Use up to 40 letters, digits, "-" and "_", beginning with a letter.`,
    );
  if (options.maxFailed !== undefined) checkMaxFailed(options.maxFailed);
  try {
    Intl.DateTimeFormat('en', { timeZone });
  } catch {
    const message = `"${timeZone}" is not a time zone. Set \`timeZone\` to one such as Europe/Berlin or UTC.`;
    throw new SentvecError('invalid-argument', message);
  }
  if (nextTime(every, timeZone) === undefined)
    throw new SentvecError(
      'invalid-argument',
      `"${every}" is not a valid cron expression, or never matches. Examples for \`every\`: "0 3 * * *" is every day at 3:00, "*/15 * * * *" every 15 minutes.`,
    );
  return { every, timeZone };
}

function nextTime(pattern: string, tz: string): number | undefined {
  if (pattern.trim().split(/\s+/u).length < 5) return undefined;
  try {
    return getNextMillis(Date.now(), { pattern, tz }) ?? undefined;
  } catch {
    return undefined;
  }
}

/** The schedules of a queue. */
export class Schedules {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;
  readonly #runs: Queue;
  readonly #store: RunStore;

  /** @param runs the queue of runs */
  constructor(redis: RedisConnection, names: QueueNames, runs: Queue, store: RunStore) {
    this.#redis = redis;
    this.#names = names;
    this.#runs = runs;
    this.#store = store;
  }

  /** Creates a schedule, or replaces the one with this name. */
  async set(
    job: ScheduleJob,
    { every, timeZone }: { readonly every: string; readonly timeZone: string },
  ): Promise<void> {
    const template = { name: 'schedule', data: job, opts: jobOptions };
    await this.#runs.upsertJobScheduler(job.schedule, { pattern: every, tz: timeZone }, template);
  }

  /** All schedules, sorted by name. */
  async list(): Promise<readonly Schedule[]> {
    const [schedulers, records] = await Promise.all([
      this.#runs.getJobSchedulers(0, -1, true),
      this.#redis.hgetall(this.#names.schedules),
    ]);
    const schedules = schedulers.map(({ key, pattern = '', tz = '', next, template }): Schedule => {
      const { workflow = '', input = null } = (template?.data ?? {}) as Partial<ScheduleJob>;
      return { name: key, workflow, input, every: pattern, timeZone: tz, next, ...parseRecord(records[key]) };
    });
    return schedules.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Removes a schedule. @returns whether there was a schedule with this name */
  async remove(name: string): Promise<boolean> {
    const removed = await this.#runs.removeJobScheduler(name);
    await this.#redis.hdel(this.#names.schedules, name);
    return removed;
  }

  /**
   * Starts the run of a schedule's job. Idempotent.
   *
   * @returns if no run was started, the reason in a sentence
   */
  async start({ data, opts, timestamp }: Pick<Job, 'data' | 'opts' | 'timestamp'>): Promise<string | undefined> {
    const { schedule, workflow, input, priority, maxFailed, inputHash, writes } = data as ScheduleJob;
    const at = opts.prevMillis ?? timestamp;
    const id = `${schedule}-${new Date(at).toISOString().replaceAll(/[-:]|\.\d+/gu, '')}`;
    const { last } = parseRecord((await this.#redis.hget(this.#names.schedules, schedule)) ?? undefined);
    const before = last === undefined || last.run === id ? undefined : await this.#store.readPosition(last.run);
    if (before && !hasEnded(before.state))
      return this.#skip(schedule, { last, skipped: { at, reason: `Run ${last!.run} was still ${before.state}.` } });
    const request = { input: inputHash, content: undefined, merges: false, writes };
    const created = await this.#store.create({ id, workflow, input, priority, maxFailed, request });
    if (created.reply === 'busy') {
      const written = created.written.slice(created.written.indexOf(':') + 1);
      return this.#skip(schedule, { last, skipped: { at, reason: `Run ${created.run} was writing to ${written}.` } });
    }
    await this.#write(schedule, { last: { run: id, at } });
    await addRunJob(this.#runs, { run: id, attempt: 1 }, priority);
    return undefined;
  }

  async #skip(schedule: string, record: Required<ScheduleRecord>): Promise<string> {
    await this.#write(schedule, record);
    return record.skipped!.reason;
  }

  async #write(schedule: string, record: ScheduleRecord): Promise<void> {
    await this.#redis.hset(this.#names.schedules, schedule, canonicalJson(record));
  }
}

function parseRecord(json: string | undefined): ScheduleRecord {
  return json === undefined ? {} : (JSON.parse(json) as ScheduleRecord);
}

/** Whether a job in the queue of runs comes from a schedule. */
export function isScheduleJob({ repeatJobKey }: Pick<Job, 'repeatJobKey'>): boolean {
  return repeatJobKey !== undefined;
}
