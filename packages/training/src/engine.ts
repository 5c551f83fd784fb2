import type { Matrix } from '@sentvec/core';
import type { TrainingBatch } from './data/batch.ts';

/** What one optimizer step did. */
export interface StepResult {
  /** Mean loss of the batches. */
  readonly loss: number;
  /** Euclidean norm of the gradients, before clipping. */
  readonly gradientNorm: number;
}

/** One optimizer step: the gradients of all its batches are averaged, then the weights are updated once. */
export interface StepOrder {
  readonly batches: readonly TrainingBatch[];
  /** Index of the engine's objective (loss) that the batches are for. @default 0 */
  readonly objective?: number | undefined;
  readonly learningRate: number;
  /** Seed of the dropout masks of this step. @default 0 */
  readonly seed?: number | undefined;
}

/**
 * Everything that a step changes. Restoring a state and repeating the same steps gives bit-identical results on the
 * same machine.
 */
export interface TrainingState {
  readonly steps: number;
  /**
   * All trained weights in one buffer, in the order of {@link Parameters}. The moments of AdamW have the same layout.
   */
  readonly weights: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;
}

/**
 * Executes training steps. Implementations: onnxruntime-node in a worker thread, onnxruntime-web in a page,
 * TensorFlow.js.
 */
export interface TrainingEngine {
  /** For example `onnxruntime-node`. */
  readonly name: string;
  /**
   * Computes the loss and the gradients, and updates the weights. If the loss or a gradient is not finite, the weights
   * do not change, and the result contains the non-finite number.
   */
  step(order: StepOrder): Promise<StepResult>;
  /** Embeds a batch of one column, without dropout: `[examples, dimension]`. */
  embed(batch: TrainingBatch): Promise<Matrix>;
  /** Copies the current state. */
  state(): Promise<TrainingState>;
  restore(state: TrainingState): Promise<void>;
  dispose(): Promise<void>;
}
