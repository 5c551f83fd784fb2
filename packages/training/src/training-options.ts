// The options of a training run with their defaults and limits, and the learning rate schedule.
import { checkCount } from '@sentvec/platform';
import { SentvecError } from '@sentvec/core';
import type { OptionNames } from '@sentvec/platform';

/** The learning rate after the warm-up: it falls to 0 linearly or along half a cosine, or it is constant. */
export type ScheduleKind = 'linear' | 'cosine' | 'constant';

/**
 * How the batches of several sets are mixed. `proportional`: in random order, with all batches of each set.
 * `round-robin`: one batch of each set after the other, until one set has no more batches.
 */
export type Mixing = 'proportional' | 'round-robin';

/** Options of a training run. */
export interface TrainingOptions {
  /** @default 1 */
  readonly epochs?: number | undefined;
  /**
   * The run ends after this many optimizer steps, even within an epoch.
   * @default no limit
   */
  readonly maxSteps?: number | undefined;
  /** Number of examples in a batch. @default 16 */
  readonly batchSize?: number | undefined;
  /** How many batches' gradients are averaged for one optimizer step. @default 1 */
  readonly gradientAccumulation?: number | undefined;
  /** The highest learning rate. @default 2e-5 */
  readonly learningRate?: number | undefined;
  /** @default 'linear' */
  readonly schedule?: ScheduleKind | undefined;
  /** The share of all steps over which the learning rate rises linearly, from 0 to 1. @default 0.1 */
  readonly warmup?: number | undefined;
  /** How several sets are mixed. @default 'proportional' */
  readonly mixing?: Mixing | undefined;
  /** Seed of samplers, dropout and draws. @default 42 */
  readonly seed?: number | undefined;
  /** Evaluates every this many steps, or after each epoch. The last step is always evaluated. @default 'epoch' */
  readonly evaluateEvery?: number | 'epoch' | undefined;
  /**
   * Early stopping: the run ends after this many consecutive evaluations without a new best score.
   * @default no early stopping
   */
  readonly patience?: number | undefined;
  /**
   * Calls `onCheckpoint` every this many steps.
   * @default only when the run ends before its last step
   */
  readonly checkpointEvery?: number | undefined;
  /**
   * Whether to warn if the loss diverges or the embeddings collapse, and to stop if the gradients explode too. The run
   * then returns to its last good weights: with `onCheckpoint`, it copies the engine's state about every 25 good steps.
   * @default true
   */
  readonly watchDivergence?: boolean | undefined;
}

/** The names of all options. */
export const trainingOptionNames: OptionNames<TrainingOptions> = {
  epochs: true,
  maxSteps: true,
  batchSize: true,
  gradientAccumulation: true,
  learningRate: true,
  schedule: true,
  warmup: true,
  mixing: true,
  seed: true,
  evaluateEvery: true,
  patience: true,
  checkpointEvery: true,
  watchDivergence: true,
};

/** Training options with their defaults. */
export type ResolvedOptions = {
  readonly [Name in Exclude<keyof TrainingOptions, Unlimited>]: NonNullable<TrainingOptions[Name]>;
} & Pick<TrainingOptions, Unlimited>;
type Unlimited = 'maxSteps' | 'patience' | 'checkpointEvery';

/**
 * Fills in the defaults.
 * @param isEvaluated whether the run has an evaluation
 * @throws SentvecError `invalid-argument` for a value that is out of range
 */
export function resolveTrainingOptions(options: TrainingOptions = {}, isEvaluated = false): ResolvedOptions {
  const resolved: ResolvedOptions = {
    epochs: options.epochs ?? 1,
    maxSteps: options.maxSteps,
    batchSize: options.batchSize ?? 16,
    gradientAccumulation: options.gradientAccumulation ?? 1,
    learningRate: options.learningRate ?? 2e-5,
    schedule: options.schedule ?? 'linear',
    warmup: options.warmup ?? 0.1,
    mixing: options.mixing ?? 'proportional',
    seed: options.seed ?? 42,
    evaluateEvery: options.evaluateEvery ?? 'epoch',
    patience: options.patience,
    checkpointEvery: options.checkpointEvery,
    watchDivergence: options.watchDivergence ?? true,
  };
  const counts = ['epochs', 'maxSteps', 'batchSize', 'gradientAccumulation', 'patience', 'checkpointEvery'] as const;
  for (const name of counts) {
    const count = resolved[name];
    if (count !== undefined) checkCount(count, name);
  }
  if (resolved.evaluateEvery !== 'epoch' && resolved.evaluateEvery !== undefined)
    checkCount(resolved.evaluateEvery, 'evaluateEvery');
  const { learningRate, warmup, seed, patience } = resolved;
  if (!(learningRate > 0 && learningRate <= 1))
    throw optionError('learningRate', learningRate, 'a number above 0, at most 1');
  if (!(warmup >= 0 && warmup <= 1)) throw optionError('warmup', warmup, 'a share of the steps, from 0 to 1');
  if (!Number.isSafeInteger(seed)) throw optionError('seed', seed, 'a whole number');
  if (patience !== undefined && !isEvaluated)
    throw new SentvecError(
      'invalid-argument',
      '"patience" needs an evaluation, but the run has none. Add an evaluation, or remove "patience".',
    );
  return resolved;
}

function optionError(name: string, value: unknown, expected: string): SentvecError {
  return new SentvecError('invalid-argument', `${name} is ${String(value)}; it must be ${expected}.`);
}

/** A learning rate schedule. */
export interface Schedule {
  readonly kind: ScheduleKind;
  /** The highest learning rate, which is reached at the end of the warm-up. */
  readonly peak: number;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** The number of steps over which the rate rises linearly, beginning with `peak / warmupSteps`. */
  readonly warmupSteps: number;
}

/** The learning rate of a step, counted from 0. It is above 0 even at the first and the last step. */
export function learningRateAt({ kind, peak, totalSteps, warmupSteps }: Schedule, step: number): number {
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  if (kind === 'constant') return peak;
  const remaining = (totalSteps - step) / Math.max(1, totalSteps - warmupSteps);
  return kind === 'linear' ? peak * remaining : (peak * (1 - Math.cos(Math.PI * remaining))) / 2;
}
