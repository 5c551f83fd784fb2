// A sentence transformer over the tensor operations: from the texts of a batch to their vectors, and to the loss.
import {
  encode,
  productOf,
  type Dimension,
  type EncoderDefinition,
  type EncoderInputs,
  type Operations,
  type WeightLookup,
} from '@sentvec/architectures';
import { headOutputSize, type Head } from '@sentvec/core';
import type { LossInputs, TrainingLoss } from '../loss.ts';
import type { Draw } from './draws.ts';
import { withAdapters, type LoraAdapters } from './lora.ts';
import { poolTokens } from './pool.ts';
import { project } from './project.ts';

/**
 * A model as something to differentiate: encoder, pooling and projections over the same tensor operations. With a network
 * that has term weights it gives those, and `head` is not used; with a pooling `perToken` a vector for each token.
 */
export interface TrainableModel {
  readonly definition: EncoderDefinition;
  readonly head: Head;
  /**
   * See `withLora`.
   * @default none: the weights themselves are trained
   */
  readonly adapters?: LoraAdapters | undefined;
  /**
   * Whether it reads pairs of texts, with types of tokens where the network has some.
   * @default false
   */
  readonly pairs?: boolean | undefined;
  /**
   * Of a model with a Router: its routes by name. `definition` and `head` are then those of one of them.
   * @default texts take one way
   */
  readonly routes?: Readonly<Record<string, TrainableRoute>> | undefined;
}

/** A route of a model, with encoder and head of its own. Modules behind the Router are shared by all routes. */
export interface TrainableRoute {
  readonly model: TrainableModel;
  /** The names of its tensors among all of the model, by their names within the route. A shared tensor has one. */
  readonly names: ReadonlyMap<string, string>;
}

/** The routes of a model; of one without a Router itself, under the name ''. */
export function routesOf(
  model: TrainableModel,
): Readonly<Record<string, Omit<TrainableRoute, 'names'> & Partial<TrainableRoute>>> {
  return model.routes ?? { '': { model } };
}

/** Whether the steps of a model look up rows of the token table only, and get a gradient for these alone. */
export function looksUpRows({ definition }: TrainableModel): boolean {
  return definition.network.termWeights === undefined;
}

/** Length of the vectors that a model gives: of its texts, of tokens, or how many labels or terms it has. */
export function dimensionOf({ definition, head }: TrainableModel): number {
  const { network, vocabularySize, hiddenSize } = definition;
  return network.termWeights === undefined ? headOutputSize(head, hiddenSize) : vocabularySize;
}

/** Whether batches of a model have the types of tokens. */
export function hasTypes({ definition, pairs = false }: TrainableModel): boolean {
  return pairs && definition.network.tokenTypes > 1;
}

/** The texts of a batch, all columns stacked: the texts of column 0, then of column 1 and so on. */
export interface SiameseInputs<Tensor> extends EncoderInputs<Tensor> {
  /** Packed: only these positions are computed. */
  readonly rows: Tensor;
  /** Floats `[batch, length]`: 1 where a token takes part in pooling. */
  readonly poolingMask: Tensor;
  /**
   * Applied, with a rate, to what adapters read.
   * @default none, as outside of training
   */
  readonly adapterDropout?: ((x: Tensor, rate: number) => Tensor) | undefined;
}

/**
 * The final vectors of all texts: `[batch, dimension]`; of late interaction `[batch, length, dimension]`.
 * @param onLayer gets the vectors that the texts would have if the encoder ended before each of its layers, in order
 */
export function embedTexts<Tensor>(
  ops: Operations<Tensor>,
  model: TrainableModel,
  weight: WeightLookup<Tensor>,
  inputs: SiameseInputs<Tensor>,
  onLayer?: (vectors: Tensor) => void,
): Tensor {
  const [batch, length] = ops.shape(inputs.ids) as [Dimension, Dimension];
  const { definition, head } = model;
  const { adapterDropout, ...encoderInputs } = inputs;
  const encoder = model.adapters ? withAdapters(ops, weight, model.adapters, adapterDropout) : { ops, weight };
  const unpack = (rows: Tensor): Tensor => {
    const positions = ops.scatterAdd(rows, inputs.rows, productOf([batch, length]), { distinct: true });
    return ops.reshape(positions, [batch, length, ops.shape(rows)[1]!]);
  };
  const vectorsOf = (rows: Tensor): Tensor =>
    project(ops, head.projections, weight, poolTokens(ops, head.pooling, unpack(rows), inputs.poolingMask));
  const packed = encode(encoder.ops, definition, encoder.weight, {
    ...encoderInputs,
    onLayer: onLayer && ((rows) => onLayer(vectorsOf(rows))),
  });
  if (definition.network.termWeights !== undefined)
    return definition.network.termWeights(ops, weight, {
      tokens: unpack(packed),
      mask: inputs.mask,
      // The gradient needs the scores of all terms anyway.
      termsAtOnce: definition.vocabularySize,
    });
  if (head.pooling.perToken === true) return unpack(project(ops, head.projections, weight, packed));
  return vectorsOf(packed);
}

/** The draws of a loss for a model. */
export function drawsOf(loss: TrainingLoss, { definition }: TrainableModel): readonly Draw[] {
  return loss.draws?.(definition.network.layers) ?? [];
}

/** What a loss is computed from: `columns` of vectors and masks, stacked. */
export interface VectorsOfBatch<Tensor> {
  readonly vectors: Tensor;
  /** Only for a loss over layers: what `onLayer` of {@link embedTexts} gets. */
  readonly layers?: readonly Tensor[] | undefined;
  /** As of {@link SiameseInputs}; only a loss over tokens needs it. */
  readonly poolingMask?: Tensor | undefined;
  readonly columns: number;
  readonly examples: Dimension;
  readonly labels: Tensor | undefined;
  readonly inputs?: LossInputs<Tensor> | undefined;
}

/** The loss of a batch from the vectors of all its texts: shape `[]`. */
export function lossOf<Tensor>(
  ops: Operations<Tensor>,
  loss: TrainingLoss,
  { vectors, layers = [], poolingMask, columns, examples, labels, inputs }: VectorsOfBatch<Tensor>,
): Tensor {
  const parts = (stacked: Tensor): Tensor[] =>
    Array.from({ length: columns }, (_, column) => ops.slice(stacked, 0, productOf([column, examples]), examples));
  if (loss.over === 'layers') return loss.compute(ops, [...layers, vectors].map(parts), labels, inputs);
  if (loss.over !== 'tokens') return loss.compute(ops, parts(vectors), labels, inputs);
  const masks = parts(poolingMask!);
  const tokens = parts(vectors).map((each, column) => ({ vectors: each, mask: masks[column]! }));
  return loss.compute(ops, tokens, labels);
}
