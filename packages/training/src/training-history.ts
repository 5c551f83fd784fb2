import type { TrainingState } from './engine.ts';

/**
 * The result of an evaluator: one number to choose the best model by, higher is better, and whatever else was measured.
 */
export interface Evaluation {
  readonly score: number;
  readonly metrics?: Readonly<Record<string, number>>;
}

/** A row of the history. */
export interface HistoryStep {
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
}

/** An evaluation in the history. `step` 0 is before training. */
export interface HistoryEvaluation extends Evaluation {
  readonly step: number;
}

/** What happened in a run so far. */
export interface TrainingHistory {
  readonly steps: readonly HistoryStep[];
  readonly evaluations: readonly HistoryEvaluation[];
}

/** Everything needed to go on exactly where a run stopped. */
export interface TrainingCheckpoint {
  /** Optimizer steps done. */
  readonly step: number;
  readonly history: TrainingHistory;
  readonly state: TrainingState;
  /** The weights that evaluated best, unless they are the present ones. */
  readonly best?: { readonly step: number; readonly weights: Float32Array } | undefined;
}

/** Progress of a run, once for each step. */
export interface TrainingProgress extends HistoryStep {
  readonly totalSteps: number;
  readonly epoch: number;
  readonly examples: number;
}
