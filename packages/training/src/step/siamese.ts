// A sentence transformer as tensor operations: from the token ids of a batch to vectors and to the loss.
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
 * A differentiable model: encoder, pooling and projections, written with the same tensor operations. A sparse encoder
 * gives term weights and ignores `head`. With a `perToken` pooling, the model gives one vector per token.
 */
export interface TrainableModel {
  readonly definition: EncoderDefinition;
  readonly head: Head;
  /**
   * See `withLora`.
   * @default none: the weights of the model are trained
   */
  readonly adapters?: LoraAdapters | undefined;
  /**
   * Whether the inputs are pairs of texts, with token types if the network uses them.
   * @default false
   */
  readonly pairs?: boolean | undefined;
  /**
   * For a model with a Router: its routes by name. `definition` and `head` are then those of the default route.
   * @default the model has no Router
   */
  readonly routes?: Readonly<Record<string, TrainableRoute>> | undefined;
}

/** A route of a model, with its own encoder and head. Modules after the Router are shared by all routes. */
export interface TrainableRoute {
  readonly model: TrainableModel;
  /**
   * Maps names of tensors within the route to names in the whole model. A shared tensor has the same name for all
   * routes.
   */
  readonly names: ReadonlyMap<string, string>;
}

/** The routes of a model. A model without a Router is its own single route, ''. */
export function routesOf(
  model: TrainableModel,
): Readonly<Record<string, Omit<TrainableRoute, 'names'> & Partial<TrainableRoute>>> {
  return model.routes ?? { '': { model } };
}

/** Whether a step needs only the batch's rows of the token table. A sparse model needs the whole table. */
export function looksUpRows({ definition }: TrainableModel): boolean {
  return definition.network.termWeights === undefined;
}

/** Dimension of the model's output: of its text or token vectors, or the number of labels or terms. */
export function dimensionOf({ definition, head }: TrainableModel): number {
  const { network, vocabularySize, hiddenSize } = definition;
  return network.termWeights === undefined ? headOutputSize(head, hiddenSize) : vocabularySize;
}

/** Whether batches of a model have token types. */
export function hasTypes({ definition, pairs = false }: TrainableModel): boolean {
  return pairs && definition.network.tokenTypes > 1;
}

/** The texts of a batch, with columns concatenated: the texts of column 0, then those of column 1, and so on. */
export interface SiameseInputs<Tensor> extends EncoderInputs<Tensor> {
  /** The positions that contain a token. Only they are computed. */
  readonly rows: Tensor;
  /** Floats `[batch, length]`: 1 for a pooled token. */
  readonly poolingMask: Tensor;
  /**
   * Dropout of the adapters' inputs.
   * @default no dropout
   */
  readonly adapterDropout?: ((x: Tensor, rate: number) => Tensor) | undefined;
}

/**
 * Computes the vectors of all texts: `[batch, dimension]`; for late interaction `[batch, length, dimension]`.
 * @param onLayer called for each layer in order, with the vectors that the model would give if the encoder ended before
 * this layer
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
      // No splitting by terms: the backward pass needs the scores of all terms anyway.
      termBlockSize: definition.vocabularySize,
    });
  if (head.pooling.perToken === true) return unpack(project(ops, head.projections, weight, packed));
  return vectorsOf(packed);
}

/** The draws of a loss for a model. */
export function drawsOf(loss: TrainingLoss, { definition }: TrainableModel): readonly Draw[] {
  return loss.draws?.(definition.network.layers) ?? [];
}

/** The inputs of a loss: the vectors of all columns, concatenated. */
export interface VectorsOfBatch<Tensor> {
  readonly vectors: Tensor;
  /** For a loss over layers: the vectors of each layer, see `onLayer` of {@link embedTexts}. */
  readonly layers?: readonly Tensor[] | undefined;
  /** See {@link SiameseInputs}. Only a loss over tokens needs it. */
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
