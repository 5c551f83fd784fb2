// Records the ONNX graphs of a training: whole steps, or the parts of a step with gradient caching.
import { SentvecError } from '@sentvec/core';
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import type { AdamWOptions } from '../optimizer/adamw.ts';
import type { EngineGraphs, RouteGraphs } from './graph-gradients.ts';
import {
  dropsAnything,
  lossTensors,
  recordEmbedding,
  recordLoss,
  recordPullback,
  recordStep,
  trainableTensors,
  type Objective,
  type TrainableParts,
} from './record-step.ts';
import { drawsOf, routesOf, type TrainableModel } from './siamese.ts';

/** Options of {@link recordGraphs}. */
export interface RecordOptions extends TrainableParts {
  readonly objectives: readonly Objective[];
  /**
   * Turns on gradient caching: how many texts go through the model at once.
   * @default no caching
   */
  readonly cachedExamples?: number | undefined;
  readonly optimizer?: AdamWOptions | undefined;
}

/** The names of all {@link RecordOptions}. */
export const recordOptionNames: OptionNames<RecordOptions> = {
  trained: true,
  dropout: true,
  objectives: true,
  cachedExamples: true,
  optimizer: true,
};

/**
 * Records all graphs that {@link graphEngine} executes. The result is plain data, which can be sent to another thread.
 * @throws SentvecError `invalid-argument` for a loss that cannot work with vectors of this dimension, or for dropout
 * with a model that has none
 */
export function recordGraphs(model: TrainableModel, dimension: number, options: RecordOptions): EngineGraphs {
  checkOptionNames('recordGraphs()', options, recordOptionNames);
  const { objectives, cachedExamples, optimizer = {} } = options;
  checkObjectives(model, dimension, options);
  const whole = cachedExamples === undefined && model.routes === undefined;
  return {
    tensors: [
      ...trainableTensors(model).map(({ name, shape, data }) => ({
        name,
        shape,
        data,
        trained: options.trained.has(name),
      })),
      ...lossTensors(objectives, dimension).map((tensor) => ({ ...tensor, trained: true })),
    ],
    objectives: objectives.map(({ labelWidth, loss }) => ({ labelWidth, draws: drawsOf(loss, model) })),
    routes: Object.fromEntries(
      Object.entries(routesOf(model)).map(([name, route]) => [name, recordRoute(route, { ...options, whole })]),
    ),
    steps: whole ? objectives.map((objective, index) => recordStep(model, options, objective, index)) : [],
    losses: whole ? [] : objectives.map((objective, index) => recordLoss(objective, dimension, index)),
    cachedExamples,
    optimizer,
    dropout: dropsAnything(model, options),
  };
}

/** @param parts.whole whether to record whole steps instead of the parts of gradient caching */
function recordRoute(
  { model, names }: ReturnType<typeof routesOf>[string],
  { trained, dropout, whole }: TrainableParts & { readonly whole: boolean },
): RouteGraphs {
  const { tokenTable, network } = model.definition;
  const own =
    names === undefined ? trained : new Set([...names].flatMap(([name, all]) => (trained.has(all) ? [name] : [])));
  // A route with a static embedding has no dropout, even if another route has.
  const parts = { trained: own, dropout: dropout && (names === undefined || network.layers > 0) };
  return {
    names: names && Object.fromEntries([...names].map(([name, all]) => [all, name])),
    tokenTable,
    paddingId: network.paddingId,
    embedding: recordEmbedding(model),
    cached: whole
      ? undefined
      : {
          embedding: recordEmbedding(model, parts),
          pullback: own.size === 0 ? undefined : recordPullback(model, parts),
        },
  };
}

/** @throws SentvecError `invalid-argument` for a loss that cannot train the model, or not with cached gradients */
export function checkObjectives(
  { definition, routes }: TrainableModel,
  dimension: number,
  { objectives, cachedExamples }: Pick<RecordOptions, 'objectives' | 'cachedExamples'>,
): void {
  const refusal = (message: string) => new SentvecError('invalid-argument', message);
  for (const { loss } of objectives) {
    if (loss.over === 'layers' && routes !== undefined)
      throw refusal(
        `${loss.name} compares layers of one encoder, so it cannot train a model with several routes. Use a loss over vectors.`,
      );
    if ((loss.over === 'tokens' || loss.over === 'layers') && cachedExamples !== undefined)
      throw refusal(
        `${loss.name} cannot cache gradients: ${loss.over === 'tokens' ? 'texts have different numbers of vectors' : 'it needs the vectors of all layers'}. Remove cachedExamples, and use a smaller batchSize.`,
      );
    const { layers } = definition.network;
    const hasTerms = definition.network.termWeights !== undefined;
    if (loss.over === 'layers' && (layers === 0 || hasTerms))
      throw refusal(
        `${loss.name} cannot train this model: ${layers === 0 ? 'it has no layers whose output has the dimension of its vectors' : 'only its last layer gives term weights'}.`,
      );
    const problem = loss.over === 'tokens' ? undefined : loss.dimensionError?.(dimension);
    if (problem !== undefined) throw refusal(`${loss.name} cannot train this model: ${problem}.`);
  }
}
