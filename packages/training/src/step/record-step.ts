// Records what a training step computes as ONNX graphs: forward, loss, gradients.
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

/** A tensor that a step may change, with its first numbers. */
export interface TrainableTensor {
  /** Name of the graph's input. Its gradient is the output `gradient.` + name. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * The tensors of a model that can be trained: the encoder's by their names in its network, those of its adapters, then
 * the projections'. The token table comes first. Those of a model with routes: route by route, shared ones once.
 */
export function trainableTensors(model: TrainableModel): TrainableTensor[] {
  if (model.routes !== undefined) return tensorsOfRoutes(model.routes, trainableTensors);
  const { definition, head, adapters } = model;
  const encoder = encoderTensors(definition, { fixed: false }).sort(
    (a, b) => Number(b.name === definition.tokenTable) - Number(a.name === definition.tokenTable),
  );
  return [...encoder, ...(adapters?.tensors ?? []), ...projectionWeights(head.projections)];
}

/** What of {@link trainableTensors} is trained: all of them; of a model with adapters only those and the projections. */
export function trainedNames(model: TrainableModel): Set<string> {
  const { definition, adapters } = model;
  const frozen = adapters === undefined ? new Set<string>() : new Set(definition.weights.keys());
  return new Set(
    trainableTensors(model)
      .map(({ name }) => name)
      .filter((name) => !frozen.has(name)),
  );
}

/** The tensors that training leaves as they are, whatever is asked for: tables that are computed, not learned. */
export function fixedTensors({ definition, routes }: TrainableModel): TrainableTensor[] {
  return routes === undefined
    ? encoderTensors(definition, { fixed: true })
    : tensorsOfRoutes(routes, (route) => fixedTensors(route));
}

/** The tensors of all routes by their names in the whole model, each once. */
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

/** The tensors that the losses of objectives have of their own: all are trained, and none is a part of the model. */
export function lossTensors(objectives: readonly Objective[], dimension: number): TrainableTensor[] {
  return objectives.flatMap(({ loss }, index) =>
    (loss.weights?.(dimension) ?? []).map((tensor) => ({ ...tensor, name: lossTensorName(index, tensor.name) })),
  );
}

/** The name of a loss's tensor among all of a step. */
export function lossTensorName(objective: number, name: string): string {
  return `loss.${objective}.${name}`;
}

/** What a model is trained for: a loss, and what examples look like. */
export interface Objective {
  readonly loss: TrainingLoss;
  /** Columns of texts in an example. */
  readonly columns: number;
  /** For losses with several numbers in a label: how many. */
  readonly labelWidth?: number | undefined;
}

/** How a model is trained, whatever for. */
export interface TrainableParts {
  /**
   * Names of the tensors to train, see `trainedNames`. The token table's gradient comes as `gradient.tokenRows`, a row
   * for each token.
   */
  readonly trained: ReadonlySet<string>;
  /**
   * Whether to drop out where the architecture does, at the rates of its configuration. Adapters have a rate of their
   * own.
   */
  readonly dropout: boolean;
}

/** Whether a training step drops anything, and so needs the key of its masks. */
export function dropsAnything({ adapters }: TrainableModel, { dropout }: Pick<TrainableParts, 'dropout'>): boolean {
  return dropout || (adapters?.dropout ?? 0) > 0;
}

/**
 * A training step as an ONNX graph of standard operators: forward of all columns through one encoder, loss, and the
 * gradients of everything trained. It reads weights as inputs and writes none: the optimizer does that afterwards.
 *
 * Inputs: `ids`, `mask`, and `types` where pairs have them (int64 `[columns, examples, length]`), `rows` (int64
 * `[tokens]`, the positions that hold a token), `poolingMask` (float `[columns, examples, length]`), `tokenRows` (float
 * `[tokens, width]`, the token table's rows; of a sparse model instead the whole table by its name), `labels` where the
 * loss has some, `dropoutKey` (float `[4]`, see `dropoutKey`) with dropout, `draws` (float) where the loss draws
 * something, and each weight but the token table by its name, those of the loss by `lossTensorName`. Outputs: `loss`
 * (`[]`), and `gradient.NAME` for each trained tensor.
 * @param index number of the objective among those of the engine; default 0
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
 * The backward pass alone, for losses whose batch does not fit into memory at once (gradient caching: Gao et al., 2021):
 * inputs as of {@link recordStep} with one column, and `vectorGradients` (float `[examples, dimension]`), what the loss
 * changes for each vector.
 */
export function recordPullback(model: TrainableModel, parts: TrainableParts): Uint8Array<ArrayBuffer> {
  const graph = new TrainingGraph(model, parts, 1);
  const incoming = graph.input('vectorGradients', graph.tape.operations.shape(graph.vectors));
  return graph.withGradients(graph.tape.operations.multiply(graph.vectors, incoming));
}

/**
 * A loss alone: inputs `vectors` (float `[columns, examples, dimension]`), `labels` and the weights of the loss, outputs
 * `loss` and `vectorGradients`, in the shape of `vectors`, and `gradient.NAME` for each weight of the loss.
 * @param index as of {@link recordStep}
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

/** The weights of a loss as inputs of a graph, among its trained ones. */
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
 * The forward pass alone: inputs as of {@link recordStep} with one column and no labels, output `vectors` (`[examples,
 * dimension]`); of late interaction `[examples * length, dimension]`.
 * @param training for the first pass of gradient caching, which must drop what the second drops. @default nothing is
 * dropped
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
 * A recording from texts to vectors, on a tape. Texts are `[columns, examples, length]` outside and `[batch, length]`
 * inside.
 */
class TrainingGraph {
  readonly recorder = new OnnxRecorder();
  readonly tape = new Tape(this.recorder.operations);
  /** As of {@link embedTexts}. */
  readonly vectors: Tracked<OnnxTensor>;
  /** What `onLayer` of {@link embedTexts} gets, where it is asked for. */
  readonly layers: Tracked<OnnxTensor>[] = [];
  /** `[batch, length]` */
  readonly poolingMask: Tracked<OnnxTensor>;
  /** All that is trained, by the names of the gradients. */
  readonly parameters: Map<string, Tracked<OnnxTensor>>;

  /** @param parts `undefined`: nothing is trained, and nothing dropped */
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
        'Dropout is asked for, but this model drops nothing: the rates of its configuration are 0, or its architecture has none. Leave out dropout, or raise the rates in its config.json.',
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

  /** Adds the gradient of every trained tensor to the outputs and ends the recording. */
  withGradients(result: Tracked<OnnxTensor>): Uint8Array<ArrayBuffer> {
    const found = this.tape.gradients(result, [...this.parameters.values()]);
    for (const [index, name] of [...this.parameters.keys()].entries())
      this.recorder.output(`gradient.${name}`, found[index]!);
    return this.recorder.encode();
  }
}
