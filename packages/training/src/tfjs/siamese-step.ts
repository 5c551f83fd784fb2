import { onBackend, type Runtime, tfjsOperations, type TfTensor } from '@sentvec/backend-tfjs';
import type { Operations } from '@sentvec/architectures';
import type { TrainingBatch } from '../batch.ts';
import type { InitialParameter, Parameters } from '../optimizer/parameters.ts';
import { dropoutSeed, seededDropout } from '../step/dropout.ts';
import { positionsOfTokens } from '../step/graph-runner.ts';
import type { Objective } from '../step/record-step.ts';
import { embedTexts, lossOf, type TrainableModel } from '../step/siamese.ts';

/** A loss, or vectors, of a batch from the weights, by name. */
type Compute = (weight: (name: string) => TfTensor) => TfTensor;

/**
 * Computes with the weights in the flat buffers, on TensorFlow.js. Nothing of it is left in the memory of TensorFlow.js
 * afterwards.
 */
export class SiameseStep {
  readonly #runtime: Runtime;
  readonly #ops: Operations<TfTensor>;
  readonly #model: TrainableModel;
  readonly #parameters: Parameters;
  readonly #frozen: readonly InitialParameter[];
  readonly #dropout: boolean;

  constructor(
    runtime: Runtime,
    model: TrainableModel,
    parameters: Parameters,
    { frozen, dropout }: { readonly frozen: readonly InitialParameter[]; readonly dropout: boolean },
  ) {
    this.#runtime = runtime;
    this.#ops = tfjsOperations(runtime.tf);
    this.#model = model;
    this.#parameters = parameters;
    this.#frozen = frozen;
    this.#dropout = dropout;
  }

  /** The final vectors of all texts, one after the other. @param seed of the dropout; default: none */
  embed(batch: TrainingBatch, seed?: number): Float32Array {
    return this.#scoped(() => this.#vectors(batch, this.#weights().weight, seed).dataSync<'float32'>());
  }

  /** The loss of a batch. Its gradients are written into `into`, laid out as the parameters. */
  lossGradients(batch: TrainingBatch, objective: Objective, into: Float32Array, seed: number): number {
    return this.#gradients((weight) => this.#loss(this.#vectors(batch, weight, seed), batch, objective), into);
  }

  /** What the weights count in Σ vectors · incoming, written into `into`. */
  pullback(batch: TrainingBatch, incoming: Float32Array, into: Float32Array, seed: number): void {
    this.#gradients((weight) => {
      const vectors = this.#vectors(batch, weight, seed);
      return this.#ops.sum(this.#ops.multiply(vectors, this.#ops.constant(incoming, vectors.shape)), [0, 1]);
    }, into);
  }

  /** The loss of vectors that are there already, and what each entry counts in it. */
  vectorGradients(
    vectors: Float32Array,
    batch: TrainingBatch,
    objective: Objective,
  ): { readonly loss: number; readonly gradients: Float32Array } {
    const texts = batch.columns * batch.examples;
    return this.#scoped(() => {
      const given = this.#ops.constant(vectors, [texts, vectors.length / texts]);
      const { value, grads } = this.#runtime.tf.engine().gradients(() => this.#loss(given, batch, objective), [given]);
      return { loss: value.dataSync()[0]!, gradients: grads[0]!.dataSync<'float32'>() };
    });
  }

  #gradients(compute: Compute, into: Float32Array): number {
    return this.#scoped(() => {
      const { weight, trained } = this.#weights();
      // A weight may take no part in the loss: its gradient is zero.
      const { value, grads } = this.#runtime.tf.engine().gradients(() => compute(weight), trained, undefined, true);
      for (const [index, slot] of this.#parameters.slots.entries()) {
        const place = this.#parameters.view(into, slot);
        const gradient = grads[index] as TfTensor | null | undefined;
        if (gradient) place.set(gradient.dataSync<'float32'>());
        else place.fill(0);
      }
      return value.dataSync()[0]!;
    });
  }

  #weights(): { readonly weight: (name: string) => TfTensor; readonly trained: TfTensor[] } {
    const { slots, weights } = this.#parameters;
    const trained = slots.map((slot) => this.#ops.constant(this.#parameters.view(weights, slot), slot.shape));
    const all = new Map(slots.map(({ name }, index) => [name, trained[index]!]));
    for (const { name, shape, data } of this.#frozen) all.set(name, this.#ops.constant(data, shape));
    return { weight: (name) => all.get(name)!, trained };
  }

  #vectors(batch: TrainingBatch, weight: (name: string) => TfTensor, seed: number | undefined): TfTensor {
    const ops = this.#ops;
    const shape = [batch.columns * batch.examples, batch.length];
    const positions = positionsOfTokens(batch.mask);
    return embedTexts(ops, this.#model, weight, {
      ids: ops.constant(batch.ids, shape),
      mask: ops.constant(batch.mask, shape),
      poolingMask: ops.constant(batch.poolingMask, shape),
      rows: ops.constant(positions, [positions.length]),
      ...(this.#dropout &&
        seed !== undefined && { dropout: seededDropout(ops, ops.constant(Float32Array.of(dropoutSeed(seed)), [])) }),
    });
  }

  #loss(vectors: TfTensor, { columns, examples, labels }: TrainingBatch, { loss, labelWidth }: Objective): TfTensor {
    const shape = labelWidth === undefined ? [examples] : [examples, labelWidth];
    const given = loss.labels === 'none' ? undefined : this.#ops.constant(labels!, shape);
    return lossOf(this.#ops, loss, vectors, columns, examples, given);
  }

  /** Not `tf.tidy`, which would look for tensors in every entry of an array that is returned. */
  #scoped<T>(work: () => T): T {
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
