// How to train: the options of a run with their defaults and limits, and the learning rate that they give each step.
import { checkCount } from '@sentvec/platform';
import { SentvecError } from '@sentvec/core';
import type { OptionNames } from '@sentvec/platform';

/**
 * How the learning rate goes on after the warm-up: down to 0 in a straight line or along half a cosine, or constant.
 */
export type ScheduleKind = 'linear' | 'cosine' | 'constant';

/**
 * How the batches of several sets follow each other. `proportional`: at random, each set as often as it has batches.
 * `round-robin`: in turn, until one has no more.
 */
export type Mixing = 'proportional' | 'round-robin';

/** How to train. */
export interface TrainingOptions {
  /** @default 1 */
  readonly epochs?: number | undefined;
  /**
   * Ends after this many optimizer steps, even within an epoch.
   * @default no limit
   */
  readonly maxSteps?: number | undefined;
  /** Examples of a batch. @default 16 */
  readonly batchSize?: number | undefined;
  /** Batches whose gradients are averaged for one step. @default 1 */
  readonly gradientAccumulation?: number | undefined;
  /** The highest learning rate. @default 2e-5 */
  readonly learningRate?: number | undefined;
  /** @default 'linear' */
  readonly schedule?: ScheduleKind | undefined;
  /** Share of the steps over which the learning rate rises. @default 0.1 */
  readonly warmup?: number | undefined;
  /** How several sets are mixed. @default 'proportional' */
  readonly mixing?: Mixing | undefined;
  /** Of samplers and dropout. @default 42 */
  readonly seed?: number | undefined;
  /**
   * Evaluates each time this many steps are done, or after each epoch. The end is always evaluated. @default 'epoch'
   */
  readonly evaluateEvery?: number | 'epoch' | undefined;
  /**
   * Stops after this many evaluations in a row that were no better than the best.
   * @default never
   */
  readonly patience?: number | undefined;
  /**
   * Calls `onCheckpoint` each time this many steps are done.
   * @default only when the run ends before its last step
   */
  readonly checkpointEvery?: number | undefined;
  /**
   * Whether to warn when the loss diverges or the embeddings collapse, and to stop if the gradient explodes as well, with
   * the last weights from before. For these, a run with `onCheckpoint` keeps a copy of the engine's state, renewed about
   * every 25 steps that are healthy.
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

/** The options with their defaults filled in. */
export type ResolvedOptions = {
  readonly [Name in Exclude<keyof TrainingOptions, Unlimited>]: NonNullable<TrainingOptions[Name]>;
} & Pick<TrainingOptions, Unlimited>;
type Unlimited = 'maxSteps' | 'patience' | 'checkpointEvery';

/**
 * Fills in the defaults.
 * @param isEvaluated whether the run has an evaluation
 * @throws SentvecError `invalid-argument` for a value that makes no sense
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
      'patience counts evaluations that are no better, but there is no evaluation. Add one, or leave out patience.',
    );
  return resolved;
}

function optionError(name: string, value: unknown, expected: string): SentvecError {
  return new SentvecError('invalid-argument', `${name} is ${String(value)}; it must be ${expected}.`);
}

/** What {@link learningRateAt} needs. */
export interface Schedule {
  readonly kind: ScheduleKind;
  /** The highest learning rate, reached at the end of the warm-up. */
  readonly peak: number;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** Steps over which the rate rises from `peak / warmupSteps`. */
  readonly warmupSteps: number;
}

/** The learning rate of a step, counted from 0. It is above 0 at the first and at the last step. */
export function learningRateAt({ kind, peak, totalSteps, warmupSteps }: Schedule, step: number): number {
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  if (kind === 'constant') return peak;
  const remaining = (totalSteps - step) / Math.max(1, totalSteps - warmupSteps);
  return kind === 'linear' ? peak * remaining : (peak * (1 - Math.cos(Math.PI * remaining))) / 2;
}
