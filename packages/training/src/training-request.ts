// The types of a training run: its request, its progress and its outcome.
import type { TrainingSet } from './data/training-set.ts';
import type { TextReader } from './data/tokenized-sets.ts';
import type { EmbedTexts, ScorePairs } from './embed-texts.ts';
import type { TrainingEngine, TrainingState } from './engine.ts';
import type { TrainingOptions } from './training-options.ts';

/** The arguments of `train`. */
export interface TrainingRequest {
  readonly engine: TrainingEngine;
  readonly reader: TextReader;
  readonly sets: readonly TrainingSet[];
  readonly options?: TrainingOptions | undefined;
  /**
   * Evaluates the current model, by vectors of texts or by scores of pairs; a reranker gives only scores. Without an
   * evaluation, the result has the last weights.
   */
  readonly evaluate?: ((embed: EmbedTexts, score: ScorePairs) => Promise<Evaluation>) | undefined;
  readonly resumeFrom?: TrainingCheckpoint | undefined;
  /** Whether to finish with the best weights of `resumeFrom`, without further steps. @default false */
  readonly finish?: boolean | undefined;
  /**
   * Aborts the run after the current step, or the current batch of an evaluation. `onCheckpoint` gets the state first.
   */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: TrainingProgress) => void) | undefined;
  readonly onEvaluation?: ((evaluation: HistoryEvaluation) => void) | undefined;
  /** Called every `checkpointEvery` steps, and before the run ends by an abort or an error. */
  readonly onCheckpoint?: ((checkpoint: TrainingCheckpoint) => Promise<void>) | undefined;
  /**
   * Called with a message if examples are left out, the loss diverges, or the model collapses.
   * @default `process.emitWarning` or `console.warn`
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** The outcome of a run. The engine then has the weights of `bestStep`. */
export interface TrainingOutcome {
  readonly history: TrainingHistory;
  readonly steps: number;
  /** The step with the best evaluation; without an evaluation, the last step. */
  readonly bestStep: number;
  readonly stoppedEarly: boolean;
  /** How many examples of each set an epoch uses. Samplers may leave some out. */
  readonly usedExamples: readonly number[];
  /** The checkpoint of the last step. */
  readonly checkpoint: TrainingCheckpoint;
}

/** The result of an evaluator: the `score` that selects the best model (higher is better), and further metrics. */
export interface Evaluation {
  readonly score: number;
  readonly metrics?: Readonly<Record<string, number>> | undefined;
}

/** A step in the history. */
export interface HistoryStep {
  /** Counted from 1. */
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
}

/** An evaluation in the history. `step` 0 is before training. */
export interface HistoryEvaluation extends Evaluation {
  readonly step: number;
}

/** The steps and evaluations of a run so far. */
export interface TrainingHistory {
  readonly steps: readonly HistoryStep[];
  readonly evaluations: readonly HistoryEvaluation[];
}

/** Everything that is needed to resume a run exactly. */
export interface TrainingCheckpoint {
  /** Optimizer steps done. */
  readonly step: number;
  readonly history: TrainingHistory;
  readonly state: TrainingState;
  /**
   * The weights with the best evaluation.
   * @default there was no evaluation
   */
  readonly best?: { readonly step: number; readonly weights: Float32Array } | undefined;
}

/** Progress of a run, reported after each step. */
export interface TrainingProgress extends HistoryStep {
  readonly totalSteps: number;
  readonly epoch: number;
  /** The number of examples of the step. */
  readonly examples: number;
}
