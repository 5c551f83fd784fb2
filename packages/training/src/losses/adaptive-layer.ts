/**
 * Another loss on the vectors that each layer would give, so that layers can be left out: adaptive layers, and with
 * shorter vectors Matryoshka embeddings in two dimensions. Those of sentence-transformers 6.1.
 */
import { logSoftmax, type Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import {
  checkedChoice,
  checkedParameter,
  checkedPerStep,
  inputsOf,
  type Loss,
  type LossDescription,
  type LossInputs,
} from '../loss.ts';
import { matryoshkaLoss } from './matryoshka.ts';

/** A loss over the vectors of each layer, in the manner of {@link Loss}. */
export interface LayerLoss extends LossDescription {
  /** Tells it from losses over the final vectors. */
  readonly over: 'layers';
  /** As of {@link Loss}. */
  dimensionError?(dimension: number): string | undefined;
  /**
   * @param layers the columns of vectors, as of {@link Loss}, that texts would have if the encoder ended before each of
   * its layers; then the final ones
   * @param labels as of {@link Loss.compute}
   * @returns a single number, shape `[]`
   */
  compute<Tensor>(
    ops: Operations<Tensor>,
    layers: readonly (readonly Tensor[])[],
    labels: Tensor | undefined,
    inputs?: LossInputs<Tensor>,
  ): Tensor;
}

/** How much a layer before the last counts, see {@link AdaptiveLayerOptions.weighting}. */
export type LayerWeighting = 'uniform' | 'log' | 'linear';

/** All layer weightings. */
export const layerWeightings: readonly LayerWeighting[] = ['uniform', 'log', 'linear'];

/** Options of {@link adaptiveLayerLoss}. */
export interface AdaptiveLayerOptions {
  /** How many layers before the last take part in a step, drawn at random; -1 for all. @default 1 */
  readonly layersPerStep?: number | undefined;
  /** Multiplies the loss of the final vectors. At least 0. @default 1 */
  readonly lastLayerWeight?: number | undefined;
  /** Multiplies the mean loss of the layers before. At least 0. @default 1 */
  readonly priorLayersWeight?: number | undefined;
  /** Multiplies the divergence of the layers before from the final vectors. At least 0. @default 1 */
  readonly divergenceWeight?: number | undefined;
  /** Of the distributions whose divergence is measured. 0: it is not. @default 0.3 */
  readonly temperature?: number | undefined;
  /**
   * How much layer i counts, where layer 0 are the embeddings: `uniform` 1, `log` 1 / (1 + ln(1 + i)), `linear`
   * 1 / (1 + i).
   * @default 'uniform'
   */
  readonly weighting?: LayerWeighting | undefined;
}

const optionNames: OptionNames<AdaptiveLayerOptions> = {
  layersPerStep: true,
  lastLayerWeight: true,
  priorLayersWeight: true,
  divergenceWeight: true,
  temperature: true,
  weighting: true,
};

/**
 * Another loss on the final vectors and on those that earlier layers would give, pooled and projected as the final ones;
 * and the Kullback-Leibler divergence of these from the final vectors, which are the teacher and get no gradient from
 * it: a model whose last layers can be left out (Li et al., 2024).
 * @throws SentvecError `invalid-argument`
 */
export function adaptiveLayerLoss(loss: Loss, options: AdaptiveLayerOptions = {}): LayerLoss {
  checkOptionNames('adaptiveLayerLoss()', options, optionNames);
  return adaptive('AdaptiveLayerLoss', loss, options, { loss: loss.name, loss_params: loss.parameters ?? {} });
}

/** Options of {@link matryoshka2dLoss}. */
export interface Matryoshka2dOptions extends AdaptiveLayerOptions {
  /** Of each size, at least 0. @default 1 each */
  readonly weights?: readonly number[] | undefined;
  /** How many sizes take part in a step, drawn at random for each layer; -1 for all. @default 1 */
  readonly dimsPerStep?: number | undefined;
}

/**
 * Another loss on the first entries of the vectors of each layer: a model that can be cut in depth and in length (2D
 * Matryoshka: Li et al., 2024). `matryoshkaLoss` within {@link adaptiveLayerLoss}.
 * @param dims how many entries to keep, each at most the dimension
 * @throws SentvecError `invalid-argument`
 */
export function matryoshka2dLoss(loss: Loss, dims: readonly number[], options: Matryoshka2dOptions = {}): LayerLoss {
  checkOptionNames('matryoshka2dLoss()', options, { ...optionNames, weights: true, dimsPerStep: true });
  const { weights, dimsPerStep = 1, ...layers } = options;
  const cut = matryoshkaLoss(loss, dims, weights, { dimsPerStep });
  return adaptive('Matryoshka2dLoss', cut, layers, cut.parameters ?? {});
}

function adaptive(
  name: string,
  loss: Loss,
  options: AdaptiveLayerOptions,
  parametersOfLoss: Readonly<Record<string, unknown>>,
): LayerLoss {
  const settings = checkedSettings(name, loss, options);
  const { layersPerStep, lastLayerWeight, priorLayersWeight, divergenceWeight, temperature, weighting } = settings;
  const drawsLayers = (layers: number): boolean => layersPerStep > 0 && layersPerStep < layers;
  const drawsOfLoss = loss.draws?.(0) ?? [];
  return {
    ...loss,
    name,
    over: 'layers',
    parameters: {
      ...parametersOfLoss,
      n_layers_per_step: layersPerStep,
      last_layer_weight: lastLayerWeight,
      prior_layers_weight: priorLayersWeight,
      kl_div_weight: divergenceWeight,
      kl_temperature: temperature,
      layer_weighting: weighting,
    },
    draws: (layers) => [
      ...(drawsLayers(layers) ? [{ from: layers, take: layersPerStep }] : []),
      ...Array.from({ length: layers + 1 }, () => drawsOfLoss).flat(),
    ],
    compute(ops, layers, labels, inputs) {
      const final = layers.at(-1)!;
      const before = layers.slice(0, -1);
      const isDrawn = drawsLayers(before.length);
      const takesPart = isDrawn ? inputsOf(inputs).drawn(0) : undefined;
      const inputsOfLoss = (layer: number): LossInputs<(typeof final)[number]> | undefined =>
        inputs && {
          weight: (weight) => inputs.weight(weight),
          drawn: (index) => inputs.drawn(Number(isDrawn) + layer * drawsOfLoss.length + index),
        };
      const lossOf = (columns: typeof final, layer: number) => loss.compute(ops, columns, labels, inputsOfLoss(layer));
      const divergence = temperature > 0 ? divergenceFrom(ops, ops.concat(final, 0), temperature) : undefined;
      const count = isDrawn ? layersPerStep : before.length;
      const terms = before.map((columns, layer) => {
        const share = (weightings[weighting](layer) * priorLayersWeight) / count;
        const own = ops.multiply(lossOf(columns, layer), share);
        const term = divergence
          ? ops.add(own, ops.multiply(divergence(ops.concat(columns, 0)), temperature * divergenceWeight))
          : own;
        return takesPart ? ops.multiply(term, ops.reshape(ops.slice(takesPart, 0, layer, 1), [])) : term;
      });
      const last = ops.multiply(lossOf(final, before.length), lastLayerWeight);
      return terms.reduce((sum, term) => ops.add(sum, term), last);
    },
  };
}

/** By the number of a layer. */
const weightings: Readonly<Record<LayerWeighting, (layer: number) => number>> = {
  uniform: () => 1,
  log: (layer) => 1 / (1 + Math.log(1 + layer)),
  linear: (layer) => 1 / (1 + layer),
};

function checkedSettings(name: string, loss: Loss, options: AdaptiveLayerOptions) {
  if (loss.over === 'scores')
    throw new SentvecError('invalid-argument', `${name}: ${loss.name} is over scores, which layers do not have.`);
  const { layersPerStep = 1, temperature = 0.3, weighting = 'uniform' } = options;
  const { lastLayerWeight = 1, priorLayersWeight = 1, divergenceWeight = 1 } = options;
  checkedPerStep(name, 'n_layers_per_step', layersPerStep);
  checkedParameter(name, 'last_layer_weight', lastLayerWeight);
  checkedParameter(name, 'prior_layers_weight', priorLayersWeight);
  checkedParameter(name, 'kl_div_weight', divergenceWeight);
  checkedParameter(name, 'kl_temperature', temperature);
  checkedChoice(name, 'layer_weighting', weighting, layerWeightings);
  return { layersPerStep, lastLayerWeight, priorLayersWeight, divergenceWeight, temperature, weighting };
}

/**
 * The Kullback-Leibler divergence of other vectors from the teacher's, `[rows, dimension]` both, each taken as a
 * distribution over its entries: the mean over rows.
 */
function divergenceFrom<Tensor>(
  ops: Operations<Tensor>,
  teacher: Tensor,
  temperature: number,
): (vectors: Tensor) => Tensor {
  const logarithms = ops.detach(logSoftmax(ops, ops.divide(teacher, temperature)));
  const shares = ops.exp(logarithms);
  const rows = ops.size(ops.shape(teacher)[0]!);
  return (vectors) => {
    const found = logSoftmax(ops, ops.divide(vectors, temperature));
    return ops.divide(ops.sum(ops.multiply(shares, ops.subtract(logarithms, found)), [0, 1]), rows);
  };
}
