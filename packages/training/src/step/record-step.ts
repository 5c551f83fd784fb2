// Records a training step as ONNX graphs: forward pass, loss, backward pass.
import {
  type EncoderDefinition,
  namedDimension,
  OnnxRecorder,
  productOf,
  Tape,
  type OnnxTensor,
  type Shape,
  type Tracked,
} from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import { columnsOfBatch, type LossInputs, type TrainingLoss } from '../loss.ts';
import { numbersOfDraw, sizeOfDraws, type Draw } from './draws.ts';
import { dropoutKeySize, keyedDropout } from './dropout.ts';
import { projectionWeights } from './project.ts';
import {
  dimensionOf,
  drawsOf,
  embedTexts,
  hasTypes,
  looksUpRows,
  lossOf,
  type TrainableModel,
  type TrainableRoute,
} from './siamese.ts';

/** A trainable tensor with its initial values. */
export interface TrainableTensor {
  /** The name of its graph input. Its gradient is the output `gradient.NAME`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * The trainable tensors of a model, in this order: the token table, the other tensors of the encoder, its adapters, the
 * projections. Names of encoder tensors are those of its network. For a model with routes: the tensors of each route;
 * tensors that routes share occur once.
 */
export function trainableTensors(model: TrainableModel): TrainableTensor[] {
  if (model.routes !== undefined) return tensorsOfRoutes(model.routes, trainableTensors);
  const { definition, head, adapters } = model;
  const encoder = encoderTensors(definition, { fixed: false }).sort(
    (a, b) => Number(b.name === definition.tokenTable) - Number(a.name === definition.tokenTable),
  );
  return [...encoder, ...(adapters?.tensors ?? []), ...projectionWeights(head.projections)];
}

/**
 * The default set of trained tensors: all {@link trainableTensors}; with adapters, only the adapters and the
 * projections.
 */
export function trainedNames(model: TrainableModel): Set<string> {
  const { definition, adapters } = model;
  const frozen = adapters === undefined ? new Set<string>() : new Set(definition.weights.keys());
  return new Set(
    trainableTensors(model)
      .map(({ name }) => name)
      .filter((name) => !frozen.has(name)),
  );
}

/** Tensors that are never trained, because they are computed and not learned, such as sinusoidal positions. */
export function fixedTensors({ definition, routes }: TrainableModel): TrainableTensor[] {
  return routes === undefined
    ? encoderTensors(definition, { fixed: true })
    : tensorsOfRoutes(routes, (route) => fixedTensors(route));
}

/** The tensors of all routes, by their names in the whole model. Shared tensors occur once. */
function tensorsOfRoutes(
  routes: Readonly<Record<string, TrainableRoute>>,
  tensorsOf: (model: TrainableModel) => readonly TrainableTensor[],
): TrainableTensor[] {
  const found = new Map<string, TrainableTensor>();
  for (const { model, names } of Object.values(routes)) {
    for (const tensor of tensorsOf(model)) {
      const name = names.get(tensor.name)!;
      if (!found.has(name)) found.set(name, { ...tensor, name });
    }
  }
  return [...found.values()];
}

function encoderTensors(definition: EncoderDefinition, { fixed }: { readonly fixed: boolean }): TrainableTensor[] {
  return [...definition.weights]
    .filter(([name]) => definition.network.weights.get(name)!.fixed === fixed)
    .map(([name, shape]) => ({ name, shape, data: definition.weight(name) }));
}

/** The tensors of the losses, such as classifiers. All are trained, but they are not part of the model. */
export function lossTensors(objectives: readonly Objective[], dimension: number): TrainableTensor[] {
  return objectives.flatMap(({ loss }, index) =>
    (loss.weights?.(dimension) ?? []).map((tensor) => ({ ...tensor, name: lossTensorName(index, tensor.name) })),
  );
}

/** The name of a loss's tensor in a step. */
export function lossTensorName(objective: number, name: string): string {
  return `loss.${objective}.${name}`;
}

/** A loss and the shape of its examples. */
export interface Objective {
  readonly loss: TrainingLoss;
  /** Number of text columns. */
  readonly columns: number;
  /** The number of numbers in a label, for losses with more than one. */
  readonly labelWidth?: number | undefined;
}

/** Which parts of a model are trained, and whether with dropout. */
export interface TrainableParts {
  /**
   * Names of the tensors to train, see `trainedNames`. The gradient of the token table is the output
   * `gradient.tokenRows`, with one row per token of the batch.
   */
  readonly trained: ReadonlySet<string>;
  /**
   * Whether to apply the dropout of the architecture, with the rates of its configuration. The dropout of adapters does
   * not depend on this.
   */
  readonly dropout: boolean;
}

/** Whether a training step has any dropout, and so needs a dropout key. */
export function dropsAnything({ adapters }: TrainableModel, { dropout }: Pick<TrainableParts, 'dropout'>): boolean {
  return dropout || (adapters?.dropout ?? 0) > 0;
}

/**
 * Records a training step as an ONNX graph of standard operators: the forward pass of all columns through one encoder,
 * the loss, and the gradients of all trained tensors. Weights are inputs; the optimizer updates them outside of the
 * graph.
 *
 * Inputs:
 * - `ids`, `mask`: int64 `[columns, examples, length]`; for pairs with token types also `types`
 * - `rows`: int64 `[tokens]`, the positions that contain a token
 * - `poolingMask`: float `[columns, examples, length]`
 * - `tokenRows`: float `[tokens, width]`, rows of the token table; a sparse model has the whole table instead
 * - `labels`: if the loss has labels
 * - `dropoutKey`: float `[4]`, with dropout
 * - `draws`: float, if the loss has draws
 * - each other weight by its name, and each tensor of the loss by `lossTensorName`
 *
 * Outputs: `loss` (`[]`), and `gradient.NAME` for each trained tensor.
 * @param index the index of the objective in the engine; default 0
 */
export function recordStep(
  model: TrainableModel,
  parts: TrainableParts,
  { loss, columns: texts, labelWidth }: Objective,
  index = 0,
): Uint8Array<ArrayBuffer> {
  const columns = columnsOfBatch(loss, texts);
  const graph = new TrainingGraph(model, parts, columns, loss.over === 'layers');
  const examples = namedDimension('examples');
  const labels =
    loss.labels === 'none'
      ? undefined
      : graph.input('labels', labelWidth === undefined ? [examples] : [examples, labelWidth]);
  const { vectors, layers, poolingMask } = graph;
  const inputs = lossInputs(graph, loss, index, dimensionOf(model), drawsOf(loss, model));
  const value = lossOf(graph.tape.operations, loss, {
    vectors,
    layers,
    poolingMask,
    columns,
    examples,
    labels,
    inputs,
  });
  graph.recorder.output('loss', value.value);
  return graph.withGradients(value);
}

/**
 * Records the backward pass alone, for gradient caching (Gao et al., 2021). Inputs: those of {@link recordStep} with
 * one column, without labels and draws, and `vectorGradients` (float `[examples, dimension]`), the gradients of the
 * loss with respect to the vectors.
 */
export function recordPullback(model: TrainableModel, parts: TrainableParts): Uint8Array<ArrayBuffer> {
  const graph = new TrainingGraph(model, parts, 1);
  const incoming = graph.input('vectorGradients', graph.tape.operations.shape(graph.vectors));
  return graph.withGradients(graph.tape.operations.multiply(graph.vectors, incoming));
}

/**
 * Records a loss alone, for gradient caching. Inputs: `vectors` (float `[columns, examples, dimension]`), `labels`, and
 * the weights of the loss. Outputs: `loss`, `vectorGradients` in the shape of `vectors`, and `gradient.NAME` for each
 * weight of the loss.
 * @param index see {@link recordStep}
 */
export function recordLoss(
  { loss, columns: texts, labelWidth }: Objective,
  dimension: number,
  index = 0,
): Uint8Array<ArrayBuffer> {
  const columns = columnsOfBatch(loss, texts);
  const recorder = new OnnxRecorder();
  const tape = new Tape(recorder.operations);
  const parameters = new Map<string, Tracked<OnnxTensor>>();
  const examples = namedDimension('examples');
  const vectors = tape.parameter(recorder.input('vectors', 'float', [columns, examples, dimension]));
  const labelShape: Shape = labelWidth === undefined ? [examples] : [examples, labelWidth];
  const labels = loss.labels === 'none' ? undefined : tape.fixed(recorder.input('labels', 'float', labelShape));
  const stacked = tape.operations.reshape(vectors, [productOf([columns, examples]), dimension]);
  const inputs = lossInputs({ recorder, tape, parameters }, loss, index, dimension, loss.draws?.(0) ?? []);
  const value = lossOf(tape.operations, loss, { vectors: stacked, columns, examples, labels, inputs });
  recorder.output('loss', value.value);
  const [vectorGradients, ...found] = tape.gradients(value, [vectors, ...parameters.values()]);
  recorder.output('vectorGradients', vectorGradients!);
  for (const [at, name] of [...parameters.keys()].entries()) recorder.output(`gradient.${name}`, found[at]!);
  return recorder.encode();
}

/** Adds the weights of a loss as inputs of a graph. */
function lossInputs(
  {
    recorder,
    tape,
    parameters,
  }: Pick<TrainingGraph, 'recorder' | 'tape'> & { readonly parameters: Map<string, Tracked<OnnxTensor>> },
  loss: TrainingLoss,
  index: number,
  dimension: number,
  draws: readonly Draw[],
): LossInputs<Tracked<OnnxTensor>> {
  for (const { name, shape } of loss.weights?.(dimension) ?? []) {
    const full = lossTensorName(index, name);
    parameters.set(full, tape.parameter(recorder.input(full, 'float', shape)));
  }
  const all = draws.length === 0 ? undefined : tape.fixed(recorder.input('draws', 'float', [sizeOfDraws(draws)]));
  return {
    weight: (name) => parameters.get(lossTensorName(index, name))!,
    drawn: (draw) => numbersOfDraw(tape.operations, all!, draws, draw),
  };
}

/**
 * Records the forward pass alone. Inputs: those of {@link recordStep} with one column, without labels. Output:
 * `vectors` (`[examples, dimension]`; for late interaction `[examples * length, dimension]`).
 * @param training for the first pass of gradient caching, which needs the same dropout as the second. Default: no
 * dropout
 */
export function recordEmbedding(
  model: TrainableModel,
  training?: Pick<TrainableParts, 'dropout'>,
): Uint8Array<ArrayBuffer> {
  const graph = new TrainingGraph(model, training && { trained: new Set(), dropout: training.dropout }, 1);
  const { operations } = graph.tape;
  const sizes = operations.shape(graph.vectors);
  const rows = operations.reshape(graph.vectors, [productOf(sizes.slice(0, -1)), sizes.at(-1)!]);
  graph.recorder.output('vectors', rows.value);
  return graph.recorder.encode();
}

/**
 * Records the computation from texts to vectors on a tape, for automatic differentiation. Graph inputs are `[columns,
 * examples, length]`; within the graph, texts are `[batch, length]`.
 */
class TrainingGraph {
  readonly recorder = new OnnxRecorder();
  readonly tape = new Tape(this.recorder.operations);
  /** The result of {@link embedTexts}. */
  readonly vectors: Tracked<OnnxTensor>;
  /** The vectors of each layer, see `onLayer` of {@link embedTexts}. Empty unless `withLayers` is set. */
  readonly layers: Tracked<OnnxTensor>[] = [];
  /** `[batch, length]` */
  readonly poolingMask: Tracked<OnnxTensor>;
  /** The trained tensors, by the names of their gradients. */
  readonly parameters: Map<string, Tracked<OnnxTensor>>;

  /** @param parts `undefined` for inference: no trained tensors and no dropout */
  constructor(model: TrainableModel, parts: TrainableParts | undefined, columns: number, withLayers = false) {
    const { trained = new Set(), dropout = false } = parts ?? {};
    const { tape, recorder } = this;
    const { definition } = model;
    const examples = namedDimension('examples');
    const stacked = (name: string, kind: 'float' | 'index') => {
      const outside = recorder.input(name, kind, [columns, examples, namedDimension('length')]);
      return tape.fixed(recorder.operations.reshape(outside, [productOf([columns, examples]), 'length']));
    };
    const parameter = (name: string, tensor: OnnxTensor) =>
      trained.has(name) ? tape.parameter(tensor) : tape.fixed(tensor);
    const [ids, mask, poolingMask] = [
      stacked('ids', 'index'),
      stacked('mask', 'index'),
      stacked('poolingMask', 'float'),
    ];
    this.poolingMask = poolingMask;
    const types = hasTypes(model) ? stacked('types', 'index') : undefined;
    const rows = tape.fixed(recorder.input('rows', 'index', ['tokens']));
    const width = definition.weights.get(definition.tokenTable)![1]!;
    const tokenRows = looksUpRows(model)
      ? parameter(definition.tokenTable, recorder.input('tokenRows', 'float', ['tokens', width]))
      : undefined;
    const inputs = trainableTensors(model).filter(
      ({ name }) => tokenRows === undefined || name !== definition.tokenTable,
    );
    const weights = new Map(
      inputs.map(({ name, shape }) => [name, parameter(name, recorder.input(name, 'float', shape))]),
    );
    for (const { name, shape, data } of fixedTensors(model))
      weights.set(name, tape.fixed(recorder.operations.constant(data, shape)));
    const key = parts && dropsAnything(model, parts) ? this.input('dropoutKey', [dropoutKeySize]) : undefined;
    const drop = key && keyedDropout(tape.operations, key);
    let isDropped = false;
    const texts = {
      ids,
      mask,
      types,
      poolingMask,
      rows,
      tokenRows,
      ...(drop &&
        dropout && {
          dropout: (x: Tracked<OnnxTensor>, rate: number) => ((isDropped = true), drop(x, rate)),
        }),
      adapterDropout: drop,
    };
    const onLayer = withLayers ? (layer: Tracked<OnnxTensor>) => void this.layers.push(layer) : undefined;
    this.vectors = embedTexts(tape.operations, model, (name) => weights.get(name)!, texts, onLayer);
    if (dropout && !isDropped)
      throw new SentvecError(
        'invalid-argument',
        'The option dropout is set, but this model has no dropout: the rates in its configuration are 0, or its architecture has none. Turn dropout off, or raise the rates in config.json.',
      );
    this.parameters = new Map(
      [...weights, ...(tokenRows ? [['tokenRows', tokenRows] as const] : [])].filter(
        ([, { step }]) => step !== undefined,
      ),
    );
  }

  input(name: string, shape: Shape): Tracked<OnnxTensor> {
    return this.tape.fixed(this.recorder.input(name, 'float', shape));
  }

  /** Adds the gradient of every trained tensor to the outputs, and finishes the recording. */
  withGradients(result: Tracked<OnnxTensor>): Uint8Array<ArrayBuffer> {
    const found = this.tape.gradients(result, [...this.parameters.values()]);
    for (const [index, name] of [...this.parameters.keys()].entries())
      this.recorder.output(`gradient.${name}`, found[index]!);
    return this.recorder.encode();
  }
}
