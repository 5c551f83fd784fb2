import type { Mixing } from './epoch-plan.ts';
import type { ScheduleKind } from './schedule.ts';

/** How to train. */
export interface TrainingOptions {
  /** Default 1. */
  readonly epochs?: number;
  /** Ends after so many optimizer steps, even within an epoch. */
  readonly maxSteps?: number | undefined;
  /** Examples of a batch. Default 16. */
  readonly batchSize?: number;
  /** Batches whose gradients are averaged for one step. Default 1. */
  readonly gradientAccumulation?: number;
  /** The highest learning rate. Default 2e-5. */
  readonly learningRate?: number;
  /** Default `linear`. */
  readonly schedule?: ScheduleKind;
  /** Share of the steps over which the learning rate rises. Default 0.1. */
  readonly warmup?: number;
  /** How several sets are mixed. Default `proportional`. */
  readonly mixing?: Mixing;
  /** Of samplers and dropout. Default 42. */
  readonly seed?: number;
  /** Evaluates after so many steps, or after each epoch (default). The end is always evaluated. */
  readonly evaluateEvery?: number | 'epoch';
  /** Stops after so many evaluations in a row that were no better than the best. Default: never. */
  readonly patience?: number | undefined;
  /** Calls `onCheckpoint` after so many steps. Default: never, except when aborted. */
  readonly checkpointEvery?: number | undefined;
}

/** The options with their defaults filled in. */
export type ResolvedOptions = Required<Omit<TrainingOptions, Open>> & Pick<TrainingOptions, Open>;
type Open = 'maxSteps' | 'patience' | 'checkpointEvery';

/** Fills in the defaults. */
export function resolveTrainingOptions(options: TrainingOptions = {}): ResolvedOptions {
  return {
    epochs: 1,
    batchSize: 16,
    gradientAccumulation: 1,
    learningRate: 2e-5,
    schedule: 'linear',
    warmup: 0.1,
    mixing: 'proportional',
    seed: 42,
    evaluateEvery: 'epoch',
    ...options,
  };
}
