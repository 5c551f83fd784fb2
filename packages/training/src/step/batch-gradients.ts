import type { Tensor } from 'onnxruntime-common';
import type { TrainingBatch } from '../batch.ts';
import type { GraphRunner, OnnxRuntime } from './graph-runner.ts';
import { labelInput, numberOf } from './tensors.ts';

/** Finds the loss of a batch and its gradients. */
export interface BatchGradients {
  /**
   * @param into laid out as the parameters; what is not trained is left as it is
   * @param seed the input `dropoutSeed`, with dropout
   * @returns the loss
   */
  gradients(batch: TrainingBatch, into: Float32Array, seed: Record<string, Tensor>): Promise<number>;
  dispose(): Promise<void>;
}

/** All examples through one graph at once. */
export class WholeBatch implements BatchGradients {
  readonly #runtime: OnnxRuntime;
  readonly #step: GraphRunner;

  constructor(runtime: OnnxRuntime, step: GraphRunner) {
    this.#runtime = runtime;
    this.#step = step;
  }

  async gradients(batch: TrainingBatch, into: Float32Array, seed: Record<string, Tensor>): Promise<number> {
    const results = await this.#step.run(batch, into, { ...labelInput(this.#runtime.Tensor, batch), ...seed });
    return numberOf(results['loss']!);
  }

  dispose(): Promise<void> {
    return this.#step.dispose();
  }
}
