// The training engine that all runtimes share: it averages the gradients of the batches of a step, with or without
// gradient caching, and applies AdamW.
import { SentvecError, type Matrix } from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import { textsInParts, type TrainingBatch } from '../data/batch.ts';
import type { StepOrder, StepResult, TrainingEngine, TrainingState } from '../engine.ts';
import { AdamW, type AdamWOptions } from '../optimizer/adamw.ts';
import type { Parameters } from '../optimizer/parameters.ts';
import { Random } from '../random.ts';
import { drawn, type Draw } from './draws.ts';
import { dropoutKey } from './dropout.ts';

/** The random inputs of a part of a step. */
export interface Chance {
  /** The key of the dropout masks, see `dropoutKey`. @default no dropout */
  readonly dropout?: Float32Array | undefined;
  /** The draws of the loss, see `drawn`. @default the loss has no draws */
  readonly draws?: Float32Array | undefined;
}

/**
 * The computations that {@link GradientEngine} needs from a runtime. They use the current weights of its
 * {@link Parameters}. Gradients are written into `into`, which has the layout of the parameters. Tensors that do not
 * take part get zeros; padding between tensors is not written.
 *
 * `dropout` is the key of the masks (see `dropoutKey`). Without it there is no dropout.
 */
export interface BatchGradients {
  /** Embeds all texts of a batch: `[columns · examples, dimension]`. */
  embed(batch: TrainingBatch, dropout?: Float32Array): Promise<Matrix>;
  /** Computes the loss of a batch and its gradients. */
  lossGradients(batch: TrainingBatch, objective: number, into: Float32Array, chance?: Chance): Promise<number>;
  /**
   * Computes the loss from the vectors of a batch, and its gradients with respect to these vectors, in their shape.
   * Gradients of the loss's own weights are written into `into`.
   */
  vectorGradients(
    vectors: Matrix,
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    chance?: Chance,
  ): Promise<{ readonly loss: number; readonly gradients: Float32Array }>;
  /** Backpropagates gradients of the vectors, `incoming`, to the weights. `incoming` has the shape of the vectors. */
  pullback(batch: TrainingBatch, incoming: Matrix, into: Float32Array, dropout?: Float32Array): Promise<void>;
  dispose(): Promise<void>;
}

/** Options of {@link GradientEngine}. */
export interface GradientEngineOptions {
  readonly name: string;
  /** The draws of each objective's loss in a step. */
  readonly objectives: readonly { readonly draws?: readonly Draw[] | undefined }[];
  /**
   * Turns on gradient caching: how many texts go through the model at once.
   * @default no caching: all texts at once
   */
  readonly cachedExamples?: number | undefined;
  readonly dropout: boolean;
  readonly optimizer?: AdamWOptions | undefined;
}

/** A training engine on any runtime that computes the gradients of a batch. */
export class GradientEngine implements TrainingEngine {
  readonly name: string;
  readonly #runtime: BatchGradients;
  readonly #parameters: Parameters;
  readonly #optimizer: AdamW;
  readonly #options: GradientEngineOptions;
  /** Scratch buffers, for the gradients of a further batch of the step and of a part of a batch. */
  readonly #further: { batch?: Float32Array; part?: Float32Array } = {};

  /** @throws SentvecError `invalid-argument` for an option that is out of range */
  constructor(runtime: BatchGradients, parameters: Parameters, options: GradientEngineOptions) {
    checkOptionNames('GradientEngine', options, {
      name: true,
      objectives: true,
      cachedExamples: true,
      dropout: true,
      optimizer: true,
    });
    if (options.cachedExamples !== undefined) checkCount(options.cachedExamples, 'cachedExamples');
    this.name = options.name;
    this.#runtime = runtime;
    this.#parameters = parameters;
    this.#optimizer = new AdamW(parameters, options.optimizer);
    this.#options = options;
  }

  async step({ batches, objective = 0, learningRate, seed = 0 }: StepOrder): Promise<StepResult> {
    if (objective >= this.#options.objectives.length) throw new RangeError(`There is no objective ${objective}.`);
    const { gradients, length } = this.#parameters;
    let loss = 0;
    for (const [index, batch] of batches.entries()) {
      const into = index === 0 ? gradients : (this.#further.batch ??= new Float32Array(length));
      const dropout = (part: number) => (this.#options.dropout ? dropoutKey(seed, index, part) : undefined);
      const draws = this.#draws(objective, seed, index);
      loss += await this.#gradients(batch, objective, into, dropout, draws);
      if (index > 0) add(gradients, into);
    }
    const share = 1 / batches.length;
    if (batches.length > 1) for (let i = 0; i < length; i++) gradients[i]! *= share;
    const gradientNorm = this.#optimizer.gradientNorm();
    const result = { loss: loss * share, gradientNorm };
    if (Number.isFinite(result.loss) && Number.isFinite(gradientNorm)) this.#optimizer.step(learningRate, gradientNorm);
    return result;
  }

  embed(batch: TrainingBatch): Promise<Matrix> {
    return this.#runtime.embed(batch);
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
    const { length } = this.#parameters;
    if ([weights, firstMoments, secondMoments].some((buffer) => buffer.length !== length))
      throw new SentvecError(
        'invalid-argument',
        `The state has ${weights.length} weights, but this engine trains ${length}. The state belongs to another model, or to a run with other frozen tensors.`,
      );
    this.#optimizer.steps = steps;
    this.#parameters.weights.set(weights);
    this.#parameters.firstMoments.set(firstMoments);
    this.#parameters.secondMoments.set(secondMoments);
  }

  dispose(): Promise<void> {
    return this.#runtime.dispose();
  }

  /** The draws of the loss for a batch of a step; `undefined` if it has none. */
  #draws(objective: number, seed: number, batch: number): Float32Array | undefined {
    const { draws = [] } = this.#options.objectives[objective]!;
    return draws.length === 0 ? undefined : drawn(draws, new Random(seed, batch).integer());
  }

  #gradients(
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    dropout: DropoutKeys,
    draws: Float32Array | undefined,
  ): Promise<number> {
    const { cachedExamples } = this.#options;
    // Columns with different routes have different encoders, so they are embedded part by part, as with caching.
    return cachedExamples === undefined && batch.routes === undefined
      ? this.#runtime.lossGradients(batch, objective, into, { dropout: dropout(0), draws })
      : this.#cachedGradients(textsInParts(batch, cachedExamples ?? Infinity), batch, objective, into, dropout, draws);
  }

  /**
   * Gradient caching (Gao et al., 2021). First pass: embeds the texts in small parts. Then computes the loss of all
   * vectors and its gradient with respect to each vector. Second pass: embeds each part again and backpropagates these
   * gradients to the weights. It needs memory for the activations of one part only. Each part has its own dropout
   * masks, the same in both passes.
   */
  async #cachedGradients(
    parts: readonly TrainingBatch[],
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    dropout: DropoutKeys,
    draws: Float32Array | undefined,
  ): Promise<number> {
    const embedded: Matrix[] = [];
    for (const [index, part] of parts.entries()) embedded.push(await this.#runtime.embed(part, dropout(index)));
    const { loss, gradients } = await this.#runtime.vectorGradients(stacked(embedded), batch, objective, into, {
      draws,
    });
    const found = (this.#further.part ??= new Float32Array(this.#parameters.length));
    let start = 0;
    for (const [index, part] of parts.entries()) {
      const { rows, cols } = embedded[index]!;
      const incoming = { data: gradients.slice(start, start + rows * cols), rows, cols };
      await this.#runtime.pullback(part, incoming, found, dropout(index));
      add(into, found);
      start += rows * cols;
    }
    return loss;
  }
}

/** The dropout key of a part of a batch; `undefined` without dropout. */
type DropoutKeys = (part: number) => Float32Array | undefined;

function add(to: Float32Array, more: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i]! += more[i]!;
}

/** Concatenates matrices by rows. */
function stacked(parts: readonly Matrix[]): Matrix {
  const { cols } = parts[0]!;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const data = new Float32Array(rows * cols);
  let start = 0;
  for (const part of parts) {
    data.set(part.data, start);
    start += part.data.length;
  }
  return { data, rows, cols };
}
