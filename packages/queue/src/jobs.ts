// The jobs of the three queues: their data, the schemas of the data, and their ids.
import { maxInputBytes, type RunError } from '@sentvec/workflow';
import { isMaxFailed, type MaxFailed } from '@sentvec/platform';
import type { Queue } from 'bullmq';
import * as v from 'valibot';

/**
 * Maximum bytes of a job's JSON. The first step of a run contains the input of the run; all other jobs are far smaller.
 */
export const maxJobBytes: number = maxInputBytes + 64 * 1024;

const runId = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const attempt = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const stage = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9-]*(\/[A-Za-z][A-Za-z0-9-]*)*$/), v.maxLength(512));

/** The workers that declined a job, with their reasons. */
export interface Declined {
  /** When the first of them declined, by the clock of Redis: milliseconds since 1970. */
  readonly since: number;
  readonly workers: Readonly<Record<string, { readonly code: string; readonly message: string }>>;
}

/** The failed attempts of a step. */
export interface FailedAttempts {
  readonly attempts: number;
  /** When the first of them failed, by the clock of Redis: milliseconds since 1970. */
  readonly since: number;
}

/** A job in the queue of runs. Its worker coordinates one attempt of a run. */
export interface RunJob {
  readonly run: string;
  /** The attempt of the run, from 1. */
  readonly attempt: number;
  readonly declined?: Declined | undefined;
}

/** A job in the queue of runs that BullMQ adds at the scheduled time. Its worker starts a run of a schedule. */
export interface ScheduleJob {
  /** The name of the schedule. */
  readonly schedule: string;
  readonly workflow: string;
  readonly input: unknown;
  readonly priority: number;
  readonly maxFailed?: MaxFailed | undefined;
  /** Identifies workflow and input; see `Request` of `@sentvec/workflow`. */
  readonly inputHash: string;
  /** The outputs that only one live run may write at a time. */
  readonly writes: readonly string[];
}

/** A job in the queue of batches: the parent of its items. */
export interface BatchJob extends Omit<RunJob, 'declined'> {
  readonly stage: string;
  /** Counted from 0 within the stage. */
  readonly batch: number;
}

/** A job in the queue of steps. Its worker executes one item of a stage. */
export interface StepJob extends RunJob {
  readonly stage: string;
  readonly index: number;
  readonly value: unknown;
  readonly failed?: FailedAttempts | undefined;
  /** Why the step failed for good, and in which worker. */
  readonly failure?: { readonly error: RunError; readonly worker: string } | undefined;
}

const declined: v.GenericSchema<Declined> = v.strictObject({
  since: v.number(),
  workers: v.record(v.string(), v.strictObject({ code: v.string(), message: v.string() })),
});

/** Schemas of job data. Jobs are validated, because other programs may write to Redis too. */
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
    maxFailed: v.optional(v.custom<MaxFailed>(isMaxFailed)),
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
    // Written again, whatever it was, when the step fails again.
    failure: v.optional(v.any()),
  }),
};

/** Deterministic ids of jobs, so that adding a job is idempotent. BullMQ forbids `:` in ids. */
export const jobIds = {
  run: (job: RunJob): string => `${job.run}.${job.attempt}`,
  batch: (job: BatchJob): string => `${job.run}.${job.attempt}.${job.stage.replaceAll('/', '.')}.b${job.batch}`,
  step: (job: Pick<StepJob, 'run' | 'attempt' | 'stage' | 'index'>): string =>
    `${job.run}.${job.attempt}.${job.stage.replaceAll('/', '.')}.${job.index}`,
};

/** Adds the job of an attempt of a run. Idempotent. */
export async function addRunJob(runs: Queue, job: RunJob, priority: number): Promise<void> {
  // Ended jobs are removed, because their id would block a later run with the same id.
  const options = { jobId: jobIds.run(job), priority, removeOnComplete: true, removeOnFail: true };
  // A coordinator fails only if Redis fails, so its job is retried for about 17 minutes.
  await runs.add('run', job, { ...options, attempts: 1000, backoff: { type: 'fixed', delay: 1000 } });
}

/** The run id in the id of a job. */
export function runOfJob(jobId: string): string {
  return jobId.slice(0, jobId.indexOf('.'));
}

/** The item index in the id of a job, or in BullMQ's key of the job, which ends with the id. */
export function indexOfJob(jobIdOrKey: string): number {
  return Number(jobIdOrKey.slice(jobIdOrKey.lastIndexOf('.') + 1));
}
