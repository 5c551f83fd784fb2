// The jobs of the three queues: what they hold, the schemas that check them, and their ids.
import { maxInputBytes } from '@sentvec/workflow';
import type { Queue } from 'bullmq';
import * as v from 'valibot';

/** The most bytes of JSON that a job may have. The first step of a run gets its input; all others are far smaller. */
export const maxJobBytes: number = maxInputBytes + 64 * 1024;

const runId = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const attempt = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const stage = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9-]*(\/[A-Za-z][A-Za-z0-9-]*)*$/), v.maxLength(512));

/** The workers that could not do a job, with their reasons. */
export interface Declined {
  /** When the first of them declined, by the clock of Redis: milliseconds since 1970. */
  readonly since: number;
  readonly workers: Readonly<Record<string, { readonly code: string; readonly message: string }>>;
}

/** The attempts at a step that have failed. */
export interface FailedAttempts {
  readonly attempts: number;
  /** When the first of them failed, by the clock of Redis: milliseconds since 1970. */
  readonly since: number;
}

/** A job in the queue of runs: coordinates one attempt of a run. */
export interface RunJob {
  readonly run: string;
  /** The attempt of the run, from 1. */
  readonly attempt: number;
  readonly declined?: Declined | undefined;
}

/** A job in the queue of runs that BullMQ adds when it is time: starts a run of a schedule. */
export interface ScheduleJob {
  /** Its name. */
  readonly schedule: string;
  readonly workflow: string;
  readonly input: unknown;
  readonly priority: number;
  /** Identifies workflow and input; see `Request` of `@sentvec/workflow`. */
  readonly inputHash: string;
  /** What only one live run may write. */
  readonly writes: readonly string[];
}

/** A job in the queue of batches: the parent of some items. */
export interface BatchJob extends Omit<RunJob, 'declined'> {
  readonly stage: string;
  /** Counted from 0 within the stage. */
  readonly batch: number;
}

/** A job in the queue of steps: one item of a stage. */
export interface StepJob extends RunJob {
  readonly stage: string;
  readonly index: number;
  readonly value: unknown;
  readonly failed?: FailedAttempts | undefined;
}

const declined: v.GenericSchema<Declined> = v.strictObject({
  since: v.number(),
  workers: v.record(v.string(), v.strictObject({ code: v.string(), message: v.string() })),
});

/** What jobs must look like. They come from Redis, where others may have written too. */
export const jobSchemas: {
  readonly run: v.GenericSchema<unknown, RunJob>;
  readonly schedule: v.GenericSchema<unknown, ScheduleJob>;
  readonly batch: v.GenericSchema<unknown, BatchJob>;
  readonly step: v.GenericSchema<unknown, StepJob>;
} = {
  run: v.strictObject({ run: runId, attempt, declined: v.optional(declined) }),
  schedule: v.strictObject({
    schedule: v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_-]{0,39}$/)),
    workflow: v.pipe(v.string(), v.maxLength(512)),
    input: v.unknown(),
    priority: v.pipe(count, v.minValue(1), v.maxValue(1000)),
    inputHash: v.pipe(v.string(), v.maxLength(64)),
    writes: v.pipe(v.array(v.pipe(v.string(), v.maxLength(8192))), v.maxLength(64)),
  }),
  batch: v.strictObject({ run: runId, attempt, stage, batch: count }),
  step: v.strictObject({
    run: runId,
    attempt,
    stage,
    index: count,
    value: v.unknown(),
    declined: v.optional(declined),
    failed: v.optional(v.strictObject({ attempts: count, since: v.number() })),
  }),
};

/** Ids of jobs follow from what the jobs are, so that adding one twice adds it once. BullMQ forbids `:` in them. */
export const jobIds = {
  run: (job: RunJob): string => `${job.run}.${job.attempt}`,
  batch: (job: BatchJob): string => `${job.run}.${job.attempt}.${job.stage.replaceAll('/', '.')}.b${job.batch}`,
  step: (job: Omit<StepJob, 'value'>): string =>
    `${job.run}.${job.attempt}.${job.stage.replaceAll('/', '.')}.${job.index}`,
};

/** Adds the job of an attempt of a run; adding it twice adds it once. */
export async function addRunJob(runs: Queue, job: RunJob, priority: number): Promise<void> {
  // A job that has ended is not kept: its id would block a later run with the same id.
  const options = { jobId: jobIds.run(job), priority, removeOnComplete: true, removeOnFail: true };
  // A coordinator fails only when Redis does, so its job is tried again for a quarter of an hour.
  await runs.add('run', job, { ...options, attempts: 1000, backoff: { type: 'fixed', delay: 1000 } });
}

/** The run that a job belongs to, by the id of the job. */
export function runOfJob(jobId: string): string {
  return jobId.slice(0, jobId.indexOf('.'));
}

/** The index of an item, from the id of its job or BullMQ's key of that job, which ends with the id. */
export function indexOfJob(jobIdOrKey: string): number {
  return Number(jobIdOrKey.slice(jobIdOrKey.lastIndexOf('.') + 1));
}
