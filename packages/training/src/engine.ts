import type { Matrix } from '@sentvec/core';
import type { TrainingBatch } from './data/batch.ts';

/** What one optimizer step did. */
export interface StepResult {
  /** Mean loss of the batches. */
  readonly loss: number;
  /** Euclidean norm of the gradients, before clipping. */
  readonly gradientNorm: number;
}

/** One optimizer step: the gradients of all its batches are averaged, then the weights change once. */
export interface StepOrder {
  readonly batches: readonly TrainingBatch[];
  /** Which of the engine's objectives the batches are for. @default 0 */
  readonly objective?: number | undefined;
  readonly learningRate: number;
  /** Of the dropout masks of this step. @default 0 */
  readonly seed?: number | undefined;
}

/**
 * Everything that a step changes. Restoring it and repeating the same steps gives the same numbers, to the bit, on
 * the same machine.
 */
export interface TrainingState {
  readonly steps: number;
  /** The flat buffers of {@link Parameters}. */
  readonly weights: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;
}

/**
 * Executes training steps. Implementations: onnxruntime-node in a thread of its own, onnxruntime-web in a page,
 * TensorFlow.js.
 */
export interface TrainingEngine {
  /** For example `onnxruntime-node`. */
  readonly name: string;
  /**
   * Loss, gradients, update. When the loss or the gradient is not finite, the weights stay as they are, and the result
   * says so by its numbers.
   */
  step(order: StepOrder): Promise<StepResult>;
  /** The final vectors of a batch of one column, without dropout: `[examples, dimension]`. */
  embed(batch: TrainingBatch): Promise<Matrix>;
  /** A copy of the present state. */
  state(): Promise<TrainingState>;
  restore(state: TrainingState): Promise<void>;
  dispose(): Promise<void>;
}
