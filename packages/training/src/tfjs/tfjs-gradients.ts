// Computes the gradients of a batch by the automatic differentiation of TensorFlow.js.
import { onBackend, type Runtime, tfjsOperations, type TfTensor } from '@sentvec/backend-tfjs';
import type { Operations } from '@sentvec/architectures';
import type { Matrix } from '@sentvec/core';
import { yieldToEventLoop } from '@sentvec/platform';
import { positionsOfTokens, type TrainingBatch } from '../data/batch.ts';
import type { InitialParameter, Parameters } from '../optimizer/parameters.ts';
import { keyedDropout } from '../step/dropout.ts';
import { numbersOfDraw } from '../step/draws.ts';
import type { BatchGradients, Chance } from '../step/gradient-engine.ts';
import { lossTensorName, type Objective } from '../step/record-step.ts';
import { drawsOf, embedTexts, hasTypes, lossOf, type TrainableModel } from '../step/siamese.ts';

/** The model, the parameters and the losses that {@link TfjsGradients} works with. */
export interface TfjsTraining {
  readonly model: TrainableModel;
  readonly parameters: Parameters;
  readonly frozen: readonly InitialParameter[];
  readonly objectives: readonly Objective[];
  /** Whether to apply the dropout of the architecture. */
  readonly dropout: boolean;
}

type Weights = (name: string) => TfTensor;

/**
 * Computes gradients with TensorFlow.js, on the calling thread. It yields to the event loop before each computation,
 * and disposes all of its tensors afterwards.
 */
export class TfjsGradients implements BatchGradients {
  readonly #runtime: Runtime;
  readonly #ops: Operations<TfTensor>;
  readonly #training: TfjsTraining;

  constructor(runtime: Runtime, training: TfjsTraining) {
    this.#runtime = runtime;
    this.#ops = tfjsOperations(runtime.tf);
    this.#training = training;
  }

  embed(batch: TrainingBatch, dropout?: Float32Array): Promise<Matrix> {
    return this.#scoped(() => {
      const vectors = this.#vectors(batch, this.#weights().weight, dropout);
      const cols = vectors.shape.at(-1)!;
      const rows = vectors.size / cols;
      return { data: vectors.dataSync<'float32'>(), rows, cols };
    });
  }

  lossGradients(
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    { dropout, draws }: Chance = {},
  ): Promise<number> {
    const isOverLayers = this.#training.objectives[objective]!.loss.over === 'layers';
    return this.#gradients((weight) => {
      const layers: TfTensor[] = [];
      const onLayer = isOverLayers ? (layer: TfTensor) => void layers.push(layer) : undefined;
      const vectors = this.#vectors(batch, weight, dropout, onLayer);
      return this.#loss({ vectors, layers, weight, draws }, batch, objective);
    }, into);
  }

  vectorGradients(
    { data, rows, cols }: Matrix,
    batch: TrainingBatch,
    objective: number,
    into: Float32Array,
    { draws }: Chance = {},
  ): Promise<{ readonly loss: number; readonly gradients: Float32Array }> {
    return this.#scoped(() => {
      const vectors = this.#ops.constant(data, [rows, cols]);
      const { weight, trained } = this.#weights();
      const { value, grads } = this.#runtime.tf
        .engine()
        .gradients(
          () => this.#loss({ vectors, weight, draws }, batch, objective),
          [vectors, ...trained],
          undefined,
          true,
        );
      this.#take(grads.slice(1), into);
      return { loss: value.dataSync()[0]!, gradients: grads[0]!.dataSync<'float32'>() };
    });
  }

  async pullback(
    batch: TrainingBatch,
    { data, rows, cols }: Matrix,
    into: Float32Array,
    dropout?: Float32Array,
  ): Promise<void> {
    await this.#gradients((weight) => {
      const vectors = this.#vectors(batch, weight, dropout);
      return this.#ops.sum(this.#ops.multiply(vectors, this.#ops.constant(data, [rows, cols])), [0, 1]);
    }, into);
  }

  /** There is nothing to dispose: no tensors are kept between computations. */
  async dispose(): Promise<void> {}

  #gradients(compute: (weight: Weights) => TfTensor, into: Float32Array): Promise<number> {
    return this.#scoped(() => {
      const { weight, trained } = this.#weights();
      const { value, grads } = this.#runtime.tf.engine().gradients(() => compute(weight), trained, undefined, true);
      this.#take(grads, into);
      return value.dataSync()[0]!;
    });
  }

  /**
   * Copies gradients into a buffer. The gradient of a weight that the loss does not depend on is null: it becomes 0.
   */
  #take(gradients: readonly (TfTensor | null | undefined)[], into: Float32Array): void {
    const { parameters } = this.#training;
    for (const [index, slot] of parameters.slots.entries()) {
      const own = parameters.view(into, slot);
      const gradient = gradients[index];
      if (gradient) own.set(gradient.dataSync<'float32'>());
      else own.fill(0);
    }
  }

  #weights(): { readonly weight: Weights; readonly trained: TfTensor[] } {
    const { parameters, frozen } = this.#training;
    const { slots, weights } = parameters;
    const trained = slots.map((slot) => this.#ops.constant(parameters.view(weights, slot), slot.shape));
    const all = new Map(slots.map(({ name }, index) => [name, trained[index]!]));
    for (const { name, shape, data } of frozen) all.set(name, this.#ops.constant(data, shape));
    return { weight: (name) => all.get(name)!, trained };
  }

  #vectors(
    batch: TrainingBatch,
    weight: Weights,
    dropout: Float32Array | undefined,
    onLayer?: (vectors: TfTensor) => void,
  ): TfTensor {
    const ops = this.#ops;
    const shape = [batch.columns * batch.examples, batch.length];
    const positions = positionsOfTokens(batch);
    const drop = dropout && keyedDropout(ops, ops.constant(dropout, [dropout.length]));
    const route = this.#training.model.routes?.[batch.routes?.[0] ?? ''];
    const model = route?.model ?? this.#training.model;
    const inputs = {
      ids: ops.constant(batch.ids, shape),
      mask: ops.constant(batch.mask, shape),
      poolingMask: ops.constant(batch.poolingMask, shape),
      rows: ops.constant(positions, [positions.length]),
      ...(hasTypes(model) && { types: ops.constant(batch.typeIds ?? new Int32Array(batch.ids.length), shape) }),
      ...(this.#training.dropout && drop && { dropout: drop }),
      adapterDropout: drop,
    };
    const weightOfRoute: Weights = route === undefined ? weight : (name) => weight(route.names.get(name)!);
    return embedTexts(ops, model, weightOfRoute, inputs, onLayer);
  }

  #loss(
    {
      weight,
      draws,
      ...found
    }: {
      readonly vectors: TfTensor;
      readonly layers?: readonly TfTensor[];
      readonly weight: Weights;
      readonly draws: Float32Array | undefined;
    },
    batch: TrainingBatch,
    objective: number,
  ): TfTensor {
    const { columns, examples, length, labels } = batch;
    const { loss, labelWidth } = this.#training.objectives[objective]!;
    const shape = labelWidth === undefined ? [examples] : [examples, labelWidth];
    const given = loss.labels === 'none' ? undefined : this.#ops.constant(labels!, shape);
    const poolingMask = this.#ops.constant(batch.poolingMask, [columns * examples, length]);
    const drawsOfLoss = drawsOf(loss, this.#training.model);
    const inputs = {
      weight: (name: string) => weight(lossTensorName(objective, name)),
      drawn: (index: number) =>
        numbersOfDraw(this.#ops, this.#ops.constant(draws!, [draws!.length]), drawsOfLoss, index),
    };
    return lossOf(this.#ops, loss, { ...found, poolingMask, columns, examples, labels: given, inputs });
  }

  /** Disposes tensors like `tf.tidy`, which would search every entry of a returned array for tensors. */
  async #scoped<T>(work: () => T): Promise<T> {
    await yieldToEventLoop();
    const { tf } = this.#runtime;
    return onBackend(this.#runtime, () => {
      tf.engine().startScope();
      try {
        return work();
      } finally {
        tf.engine().endScope();
      }
    });
  }
}
