import type { TfjsDevice, WasmPaths } from '@sentvec/backend-tfjs';
import type { Matrix } from '@sentvec/core';
import { textsInParts, type TrainingBatch } from '../batch.ts';
import type { StepOrder, StepResult, TrainingEngine, TrainingState } from '../engine.ts';
import { AdamW } from '../optimizer/adamw.ts';
import { Parameters } from '../optimizer/parameters.ts';
import { add, joined, scale } from '../step/flat-arrays.ts';
import type { RecordOptions } from '../step/record-graphs.ts';
import { type Objective, trainableTensors } from '../step/record-step.ts';
import type { TrainableModel } from '../step/siamese.ts';
import { openDifferentiable } from './open-differentiable.ts';
import { SiameseStep } from './siamese-step.ts';

/** Options of {@link tfjsEngine}: what is trained, as `recordGraphs` takes it, and where. */
export interface TfjsEngineOptions extends RecordOptions {
  /** What to run on. Default `auto`: `tfjs-node-gpu` where it works, else `tfjs-node`, else WebAssembly. */
  readonly device?: 'auto' | TfjsDevice | undefined;
  /** Where a page finds the files of `@tensorflow/tfjs-backend-wasm`. Node finds them itself. */
  readonly wasmPaths?: WasmPaths | undefined;
}

/**
 * An engine on TensorFlow.js, with the gradients of TensorFlow.js. It works on the calling thread, whose event loop
 * stands still during a step. Its state is that of the other engines: a run may go on with another one, within
 * rounding.
 * @throws SentvecError `missing-dependency` without `@tensorflow/tfjs`, `backend-unavailable`
 */
export async function tfjsEngine(model: TrainableModel, options: TfjsEngineOptions): Promise<TrainingEngine> {
  const runtime = await openDifferentiable(options.device ?? 'auto', options.wasmPaths);
  const tensors = trainableTensors(model).map(({ name, shape, data }) => ({ name, shape, data }));
  const parameters = new Parameters(tensors.filter(({ name }) => options.trained.has(name)));
  const frozen = tensors.filter(({ name }) => !options.trained.has(name));
  const step = new SiameseStep(runtime, model, parameters, { frozen, dropout: options.dropout });
  return new TfjsEngine(runtime.description, step, parameters, options);
}

class TfjsEngine implements TrainingEngine {
  readonly name: string;
  readonly #step: SiameseStep;
  readonly #parameters: Parameters;
  readonly #optimizer: AdamW;
  readonly #options: TfjsEngineOptions;

  constructor(name: string, step: SiameseStep, parameters: Parameters, options: TfjsEngineOptions) {
    this.name = name;
    this.#step = step;
    this.#parameters = parameters;
    this.#optimizer = new AdamW(parameters, options.optimizer);
    this.#options = options;
  }

  async step({ batches, objective = 0, learningRate, seed = 0 }: StepOrder): Promise<StepResult> {
    const chosen = this.#options.objectives[objective];
    if (chosen === undefined) throw new RangeError(`There is no objective ${objective}.`);
    const { gradients: all } = this.#parameters;
    let loss = 0;
    for (const [index, batch] of batches.entries()) {
      await turn();
      const gradients = index === 0 ? all : new Float32Array(this.#parameters.length);
      loss += this.#gradients(batch, chosen, gradients, seed + index / batches.length);
      if (index > 0) add(all, gradients);
    }
    if (batches.length > 1) scale(all, 1 / batches.length);
    const gradientNorm = this.#optimizer.gradientNorm();
    const result = { loss: loss / batches.length, gradientNorm };
    if (Number.isFinite(result.loss) && Number.isFinite(gradientNorm)) this.#optimizer.step(learningRate, gradientNorm);
    return result;
  }

  async embed(batch: TrainingBatch): Promise<Matrix> {
    await turn();
    const data = this.#step.embed(batch);
    return { data, rows: batch.examples, cols: data.length / batch.examples };
  }

  async state(): Promise<TrainingState> {
    const { weights, firstMoments, secondMoments } = this.#parameters;
    return {
      steps: this.#optimizer.steps,
      weights: weights.slice(),
      firstMoments: firstMoments.slice(),
      secondMoments: secondMoments.slice(),
    };
  }

  async restore({ steps, weights, firstMoments, secondMoments }: TrainingState): Promise<void> {
    this.#optimizer.steps = steps;
    this.#parameters.weights.set(weights);
    this.#parameters.firstMoments.set(firstMoments);
    this.#parameters.secondMoments.set(secondMoments);
  }

  /** Between steps nothing is held in the memory of TensorFlow.js. */
  async dispose(): Promise<void> {}

  #gradients(batch: TrainingBatch, objective: Objective, into: Float32Array, seed: number): number {
    const { cachedExamples } = this.#options;
    return cachedExamples === undefined
      ? this.#step.lossGradients(batch, objective, into, seed)
      : this.#cachedGradients(batch, objective, into, seed, cachedExamples);
  }

  /** Gradient caching (Gao et al., 2021): see `CachedBatch`. */
  #cachedGradients(
    batch: TrainingBatch,
    objective: Objective,
    into: Float32Array,
    seed: number,
    examples: number,
  ): number {
    const parts = textsInParts(batch, examples);
    const vectors = joined(parts.map((part) => this.#step.embed(part, seed)));
    const { loss, gradients } = this.#step.vectorGradients(vectors, batch, objective);
    const dimension = vectors.length / (batch.columns * batch.examples);
    const share = new Float32Array(this.#parameters.length);
    into.fill(0);
    let start = 0;
    for (const part of parts) {
      const end = start + part.examples * dimension;
      this.#step.pullback(part, gradients.slice(start, end), share, seed);
      add(into, share);
      start = end;
    }
    return loss;
  }
}

/** Lets timers and signals have their turn: a step does nothing but compute. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}
