import { maxInputBytes } from '@sentvec/workflow';
import * as v from 'valibot';

/** The most bytes of JSON that a job may have. The first step of a run gets its input; all others are far smaller. */
export const maxJobBytes: number = maxInputBytes + 4096;

const runId = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const round = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const stage = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9-]*(\/[A-Za-z][A-Za-z0-9-]*)*$/), v.maxLength(512));

/** A job of the queue of runs: the coordination of one round. */
export interface RunJob {
  readonly run: string;
  readonly round: number;
}

/** A job of the queue of waves: the parent of some items. */
export interface WaveJob extends RunJob {
  readonly stage: string;
  readonly wave: number;
}

/** A job of the queue of steps: one item of a stage. */
export interface StepJob extends RunJob {
  readonly stage: string;
  readonly index: number;
  readonly value: unknown;
}

/** What jobs must look like. They come from Redis, and anybody may have written there. */
export const jobSchemas: {
  readonly run: v.GenericSchema<unknown, RunJob>;
  readonly wave: v.GenericSchema<unknown, WaveJob>;
  readonly step: v.GenericSchema<unknown, StepJob>;
} = {
  run: v.strictObject({ run: runId, round }),
  wave: v.strictObject({ run: runId, round, stage, wave: count }),
  step: v.strictObject({ run: runId, round, stage, index: count, value: v.unknown() }),
};

/** Ids of jobs follow from what the jobs are, so that adding one twice adds it once. BullMQ forbids `:` in them. */
export const jobIds = {
  run: ({ run, round: number }: RunJob): string => `${run}.${number}`,
  wave: ({ run, round: number, stage: path, wave }: WaveJob): string =>
    `${run}.${number}.${path.replaceAll('/', '.')}.w${wave}`,
  step: ({ run, round: number, stage: path, index }: Omit<StepJob, 'value'>): string =>
    `${run}.${number}.${path.replaceAll('/', '.')}.${index}`,
};

/** The index of an item in the id or key of its job. */
export function indexOf(stepJobKey: string): number {
  return Number(stepJobKey.slice(stepJobKey.lastIndexOf('.') + 1));
}
