import type { ModelFiles } from '@sentvec/core';
import type { TrainingOutcome } from '../trainer.ts';
import type { TrainingSet } from '../training-set.ts';
import type { TrainingConfig } from './config.ts';

/** What a model card and a report tell of a run. */
export interface RunDescription {
  readonly config: TrainingConfig;
  readonly outcome: TrainingOutcome;
  readonly sets: readonly TrainingSet[];
  /** The model that was trained further. */
  readonly model: ModelFiles;
  readonly dimension: number;
  readonly maxLength: number;
}
