import { SentvecError } from '@sentvec/core';
import type { EmbedTexts } from './embed-texts.ts';
import type { TrainingEngine } from './engine.ts';
import { planSteps } from './step-plan.ts';
import type { TextReader } from './texts.ts';
import type {
  Evaluation,
  HistoryEvaluation,
  TrainingCheckpoint,
  TrainingHistory,
  TrainingProgress,
} from './training-history.ts';
import { resolveTrainingOptions, type TrainingOptions } from './training-options.ts';
import { TrainingRun } from './training-run.ts';
import { checkTrainingSet, type TrainingSet } from './training-set.ts';

/** A run of training. */
export interface TrainingRequest {
  readonly engine: TrainingEngine;
  readonly reader: TextReader;
  readonly sets: readonly TrainingSet[];
  readonly options?: TrainingOptions;
  /** Judges the model as it is. Without one the last weights are kept. */
  readonly evaluate?: ((embed: EmbedTexts) => Promise<Evaluation>) | undefined;
  readonly resumeFrom?: TrainingCheckpoint | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: TrainingProgress) => void) | undefined;
  readonly onEvaluation?: ((evaluation: HistoryEvaluation) => void) | undefined;
  readonly onCheckpoint?: ((checkpoint: TrainingCheckpoint) => Promise<void>) | undefined;
}

/** How a run ended. The engine holds the weights of `bestStep`. */
export interface TrainingOutcome {
  readonly history: TrainingHistory;
  readonly steps: number;
  /** The step whose weights were kept: the best evaluated, or the last. */
  readonly bestStep: number;
  readonly stoppedEarly: boolean;
}

/**
 * Trains a model on its engine: sampled batches, schedule, evaluation, best weights kept, checkpoints. The same request
 * on the same machine with the same number of threads gives the same weights to the bit, resumed or not.
 * @throws SentvecError `invalid-corpus`, `invalid-argument`, `training-failed` (step and rows in `details`), `aborted`
 */
export async function train(request: TrainingRequest): Promise<TrainingOutcome> {
  const options = resolveTrainingOptions(request.options);
  for (const set of request.sets) checkTrainingSet(set, options.batchSize);
  const steps = planSteps(request.sets, options);
  if (steps.length === 0)
    throw new SentvecError(
      'invalid-corpus',
      'There is nothing to train: no batch has enough examples. Use a smaller batch size.',
    );
  return await new TrainingRun(request, options, steps).run();
}
