/**
 * AdaptiveLayerLoss and Matryoshka2dLoss of sentence-transformers 6.1. They apply another loss to the output of each
 * layer, so that the trained model still works when its last layers are removed.
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

/** Like {@link Loss}, but computed from the vectors of every layer. */
export interface LayerLoss extends LossDescription {
  /** Distinguishes it from losses over the final vectors. */
  readonly over: 'layers';
  /** See {@link Loss.dimensionError}. */
  dimensionError?(dimension: number): string | undefined;
  /**
   * @param layers for each layer, the columns of vectors (see {@link Loss.compute}) that the model would give if the
   * encoder ended before this layer; last, the final vectors
   * @param labels see {@link Loss.compute}
   * @returns a single number, shape `[]`
   */
  compute<Tensor>(
    ops: Operations<Tensor>,
    layers: readonly (readonly Tensor[])[],
    labels: Tensor | undefined,
    inputs?: LossInputs<Tensor>,
  ): Tensor;
}

/** The weight of a layer before the last, see {@link AdaptiveLayerOptions.weighting}. */
export type LayerWeighting = 'uniform' | 'log' | 'linear';

/** All layer weightings. */
export const layerWeightings: readonly LayerWeighting[] = ['uniform', 'log', 'linear'];

/** Options of {@link adaptiveLayerLoss}. */
export interface AdaptiveLayerOptions {
  /** How many layers before the last a step trains, drawn at random; -1 for all. @default 1 */
  readonly layersPerStep?: number | undefined;
  /** Multiplies the loss of the final vectors. At least 0. @default 1 */
  readonly lastLayerWeight?: number | undefined;
  /** Multiplies the mean loss of the layers before the last. At least 0. @default 1 */
  readonly priorLayersWeight?: number | undefined;
  /** Multiplies the KL divergence of the layers before the last from the final vectors. At least 0. @default 1 */
  readonly divergenceWeight?: number | undefined;
  /** Softmax temperature of the KL divergence. 0 turns the divergence off. @default 0.3 */
  readonly temperature?: number | undefined;
  /**
   * The weight of layer i, where layer 0 is the output of the embedding layer: `uniform` 1, `log` 1 / (1 + ln(1 + i)),
   * `linear` 1 / (1 + i).
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
 * Applies another loss to the final vectors and to those of earlier layers, which are pooled and projected like the
 * final ones. It adds the Kullback-Leibler divergence of the earlier vectors from the final ones; the final vectors are
 * the teacher and get no gradient from it. The last layers of the trained model can be removed (Li et al., 2024).
 * @throws SentvecError `invalid-argument`
 */
export function adaptiveLayerLoss(loss: Loss, options: AdaptiveLayerOptions = {}): LayerLoss {
  checkOptionNames('adaptiveLayerLoss()', options, optionNames);
  return adaptive('AdaptiveLayerLoss', loss, options, { loss: loss.name, loss_params: loss.parameters ?? {} });
}

/** Options of {@link matryoshka2dLoss}. */
export interface Matryoshka2dOptions extends AdaptiveLayerOptions {
  /** The weight of each size, at least 0. @default 1 for each */
  readonly weights?: readonly number[] | undefined;
  /** How many sizes a step trains, drawn at random for each layer; -1 for all. @default 1 */
  readonly dimsPerStep?: number | undefined;
}

/**
 * Applies another loss to truncated vectors of each layer, so that both the number of layers and the dimension of the
 * trained model can be reduced (2D Matryoshka: Li et al., 2024). It is `matryoshkaLoss` within
 * {@link adaptiveLayerLoss}.
 * @param dims the truncated dimensions, each at most the dimension of the model
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

/** The weight of a layer, by its index. */
const weightings: Readonly<Record<LayerWeighting, (layer: number) => number>> = {
  uniform: () => 1,
  log: (layer) => 1 / (1 + Math.log(1 + layer)),
  linear: (layer) => 1 / (1 + layer),
};

function checkedSettings(name: string, loss: Loss, options: AdaptiveLayerOptions) {
  if (loss.over === 'scores')
    throw new SentvecError(
      'invalid-argument',
      `${name}: ${loss.name} is computed from a reranker's scores, but layers give vectors. Use a loss over vectors.`,
    );
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
 * The Kullback-Leibler divergence of vectors from the teacher's vectors, both `[rows, dimension]`, as a mean over rows.
 * Softmax turns each vector into a distribution over its entries.
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
