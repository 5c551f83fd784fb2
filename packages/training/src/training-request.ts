// The interface of a training run: its request, what it reports while it works, and its outcome.
import type { TrainingSet } from './data/training-set.ts';
import type { TextReader } from './data/tokenized-sets.ts';
import type { EmbedTexts, ScorePairs } from './embed-texts.ts';
import type { TrainingEngine, TrainingState } from './engine.ts';
import type { TrainingOptions } from './training-options.ts';

/** A run of training. */
export interface TrainingRequest {
  readonly engine: TrainingEngine;
  readonly reader: TextReader;
  readonly sets: readonly TrainingSet[];
  readonly options?: TrainingOptions | undefined;
  /**
   * Evaluates the model as it is, by the vectors of texts, or by the scores of pairs: a reranker gives only scores.
   * Without it the last weights are kept.
   */
  readonly evaluate?: ((embed: EmbedTexts, score: ScorePairs) => Promise<Evaluation>) | undefined;
  readonly resumeFrom?: TrainingCheckpoint | undefined;
  /** Ends at once, with the best weights of `resumeFrom`, without a further step. @default false */
  readonly finish?: boolean | undefined;
  /**
   * Ends the run after the present step, or the present batch of an evaluation; `onCheckpoint` gets what is trained.
   */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: TrainingProgress) => void) | undefined;
  readonly onEvaluation?: ((evaluation: HistoryEvaluation) => void) | undefined;
  /** Called after every `checkpointEvery` steps, and before the run ends by an abort or an error. */
  readonly onCheckpoint?: ((checkpoint: TrainingCheckpoint) => Promise<void>) | undefined;
  /**
   * Called with a sentence when examples are left out, the loss runs away, or the model collapses.
   * @default `process.emitWarning` or `console.warn`
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** How a run ended. The engine holds the weights of `bestStep`. */
export interface TrainingOutcome {
  readonly history: TrainingHistory;
  readonly steps: number;
  /** The step whose weights were kept: the best evaluated, or the last. */
  readonly bestStep: number;
  readonly stoppedEarly: boolean;
  /** How many examples of each set an epoch uses: samplers may leave some out. */
  readonly usedExamples: readonly number[];
  /** What a run that was stopped here would go on from. */
  readonly checkpoint: TrainingCheckpoint;
}

/**
 * The result of an evaluator: one number to choose the best model by, higher is better, and whatever else was measured.
 */
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
  /**
   * The weights that evaluated best.
   * @default there was no evaluation
   */
  readonly best?: { readonly step: number; readonly weights: Float32Array } | undefined;
}

/** Progress of a run, once for each step. */
export interface TrainingProgress extends HistoryStep {
  readonly totalSteps: number;
  readonly epoch: number;
  /** Examples of the step. */
  readonly examples: number;
}
