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
import type { Head } from '@sentvec/core';
import type { Loss } from '../loss.ts';
import { withAdapters, type LoraAdapters } from './lora.ts';
import { poolTokens } from './pool.ts';
import { project } from './project.ts';

/**
 * A sentence transformer as something to differentiate: encoder, pooling and projections over the same tensor
 * operations.
 */
export interface TrainableModel {
  readonly definition: EncoderDefinition;
  readonly head: Head;
  /**
   * See `withLora`.
   * @default none: the weights themselves are trained
   */
  readonly adapters?: LoraAdapters | undefined;
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

/** The final vectors of all texts: `[batch, dimension]`. */
export function embedTexts<Tensor>(
  ops: Operations<Tensor>,
  model: TrainableModel,
  weight: WeightLookup<Tensor>,
  inputs: SiameseInputs<Tensor>,
): Tensor {
  const [batch, length] = ops.shape(inputs.ids) as [Dimension, Dimension];
  const { adapterDropout, ...encoderInputs } = inputs;
  const encoder = model.adapters ? withAdapters(ops, weight, model.adapters, adapterDropout) : { ops, weight };
  const packed = encode(encoder.ops, model.definition, encoder.weight, encoderInputs);
  const positions = ops.scatterAdd(packed, inputs.rows, productOf([batch, length]), { distinct: true });
  const tokens = ops.reshape(positions, [batch, length, model.definition.hiddenSize]);
  return project(ops, model.head.projections, weight, poolTokens(ops, model.head.pooling, tokens, inputs.poolingMask));
}

/** The loss of a batch from the vectors of all its texts, `columns` of them stacked: shape `[]`. */
export function lossOf<Tensor>(
  ops: Operations<Tensor>,
  loss: Loss,
  vectors: Tensor,
  columns: number,
  examples: Dimension,
  labels: Tensor | undefined,
): Tensor {
  const parts = Array.from({ length: columns }, (_, column) =>
    ops.slice(vectors, 0, productOf([column, examples]), examples),
  );
  return loss.compute(ops, parts, labels);
}
