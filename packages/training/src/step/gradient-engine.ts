// The engine of all runtimes: gradients of a batch, at once or cached, averaged over the batches of a step, then AdamW.
import { SentvecError, type Matrix } from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import { textsInParts, type TrainingBatch } from '../data/batch.ts';
import type { StepOrder, StepResult, TrainingEngine, TrainingState } from '../engine.ts';
import { AdamW, type AdamWOptions } from '../optimizer/adamw.ts';
import type { Parameters } from '../optimizer/parameters.ts';
import { Random } from '../random.ts';
import { drawn, type Draw } from './draws.ts';
import { dropoutKey } from './dropout.ts';

/** The random numbers of a part of a step. */
export interface Chance {
  /** The key of the masks, see `dropoutKey`. @default nothing is dropped */
  readonly dropout?: Float32Array | undefined;
  /** What the loss has drawn, see `drawn`. @default it draws nothing */
  readonly draws?: Float32Array | undefined;
}

/**
 * What a runtime computes for training, with the weights of its {@link Parameters} as they are at the moment. All that
 * {@link GradientEngine} needs of a runtime. Gradients are written into `into`, which is laid out as the parameters;
 * padding between tensors is left as it is, and a tensor that takes no part gets zeros.
 *
 * `dropout` is the key of the masks (see `dropoutKey`); without it nothing is dropped.
 */
export interface BatchGradients {
  /** The final vectors of all texts of a batch: `[columns · examples, dimension]`. */
  embed(batch: TrainingBatch, dropout?: Float32Array): Promise<Matrix>;
  /** The loss of a batch, and its gradients. */
  lossGradients(batch: TrainingBatch, objective: number, into: Float32Array, chance?: Chance): Promise<number>;
  /**
   * The loss of the vectors of a batch, and its gradients by them, in their shape. Those by the weights of the loss go
   * into `into`.
   */
  vectorGradients(
    vectors: Matrix,
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    chance?: Chance,
  ): Promise<{ readonly loss: number; readonly gradients: Float32Array }>;
  /** The gradients of Σ vectors · incoming, by the weights. `incoming` has the shape of the vectors of the batch. */
  pullback(batch: TrainingBatch, incoming: Matrix, into: Float32Array, dropout?: Float32Array): Promise<void>;
  dispose(): Promise<void>;
}

/** What a {@link GradientEngine} is made of, besides its runtime. */
export interface GradientEngineOptions {
  readonly name: string;
  /** What the loss of each objective draws in a step. */
  readonly objectives: readonly { readonly draws?: readonly Draw[] | undefined }[];
  /**
   * Texts that go through the model at once when gradients are cached.
   * @default all, without caching
   */
  readonly cachedExamples?: number | undefined;
  readonly dropout: boolean;
  readonly optimizer?: AdamWOptions | undefined;
}

/** An engine on any runtime that finds the gradients of a batch. */
export class GradientEngine implements TrainingEngine {
  readonly name: string;
  readonly #runtime: BatchGradients;
  readonly #parameters: Parameters;
  readonly #optimizer: AdamW;
  readonly #options: GradientEngineOptions;
  /** Gradients that are added to others: of a further batch of the step, and of a part of a batch. */
  readonly #further: { batch?: Float32Array; part?: Float32Array } = {};

  /** @throws SentvecError `invalid-argument` for an option that makes no sense */
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
        `The state has ${weights.length} weights, but ${length} are trained: it belongs to another model, or other tensors were frozen.`,
      );
    this.#optimizer.steps = steps;
    this.#parameters.weights.set(weights);
    this.#parameters.firstMoments.set(firstMoments);
    this.#parameters.secondMoments.set(secondMoments);
  }

  dispose(): Promise<void> {
    return this.#runtime.dispose();
  }

  /** What the loss draws for a batch of a step; `undefined` for nothing. */
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
    // Columns that take different routes go through different encoders.
    return cachedExamples === undefined && batch.routes === undefined
      ? this.#runtime.lossGradients(batch, objective, into, { dropout: dropout(0), draws })
      : this.#cachedGradients(textsInParts(batch, cachedExamples ?? Infinity), batch, objective, into, dropout, draws);
  }

  /**
   * Gradient caching (Gao et al., 2021): embeds the texts a few at a time, finds the loss of all vectors and its
   * gradient by each of them, then goes over the texts a second time to propagate that gradient to the weights. It
   * needs memory for a few texts only. Each part has masks of its own, the same in both passes.
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

/** The key of a part of a batch; `undefined` without dropout. */
type DropoutKeys = (part: number) => Float32Array | undefined;

function add(to: Float32Array, more: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i]! += more[i]!;
}

/** The rows of all parts, one part after the other. */
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
