import { namedDimension, OnnxRecorder, productOf, Tape, type Dimension, type OnnxTensor, type Shape } from '@sentvec/architectures';
import type { Loss } from '../loss.ts';
import { projectionWeights } from './project.ts';
import { embedTexts, lossOf, type TrainableModel } from './siamese.ts';

/** A tensor that a step may change, with where its numbers begin. */
export interface TrainableTensor {
  /** Name of the graph's input. Its gradient is the output `gradient.` + name. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The tensors of a model: the encoder's by their names in its network, then the projections'. The token table comes first. */
export function trainableTensors({ definition, head }: TrainableModel): TrainableTensor[] {
  const names = [...definition.weights.keys()].sort((a, b) => Number(b === definition.tokenTable) - Number(a === definition.tokenTable));
  const encoder = names.map((name) => ({ name, shape: definition.weights.get(name)!, data: definition.weight(name) }));
  return [...encoder, ...projectionWeights(head.projections)];
}

/** What {@link recordStep} is asked for. */
export interface StepRequest {
  readonly model: TrainableModel;
  readonly loss: Loss;
  /** Columns of texts in an example. */
  readonly columns: number;
  /** For losses with several numbers in a label: how many. */
  readonly labelWidth?: number | undefined;
  /** Names of the tensors to train. The token table's gradient comes as `gradient.tokenRows`, a row for each token. */
  readonly trained: ReadonlySet<string>;
}

/**
 * A training step as an ONNX graph of standard operators: forward of all columns through one encoder, loss, and the gradients of
 * everything trained. It reads weights as inputs and writes none: the optimizer does that afterwards.
 *
 * Inputs: `ids`, `mask` (int64 `[columns, examples, length]`), `rows` (int64 `[tokens]`, the positions that hold a token),
 * `poolingMask` (float `[batch, length]` as `[columns, examples, length]`), `tokenRows` (float `[tokens, width]`, the token table's
 * rows), `labels` where the loss has some, and each weight but the token table by its name. Outputs: `loss` (`[]`), `gradient.NAME`.
 */
export function recordStep(request: StepRequest): Uint8Array<ArrayBuffer> {
  const { model, loss, columns, trained, labelWidth } = request;
  const recorder = new OnnxRecorder();
  const tape = new Tape(recorder.operations);
  const examples = namedDimension('examples');
  const graph = new GraphInputs(recorder, model, [columns, examples, 'length']);
  const tracked = new Map(
    [...graph.weights].map(([name, tensor]) => [name, trained.has(name) ? tape.parameter(tensor) : tape.fixed(tensor)]),
  );
  const tokenRows = trained.has(model.definition.tokenTable) ? tape.parameter(graph.tokenRows) : tape.fixed(graph.tokenRows);
  const fixed = {
    ids: tape.fixed(graph.ids),
    mask: tape.fixed(graph.mask),
    rows: tape.fixed(graph.rows),
    poolingMask: tape.fixed(graph.poolingMask),
  };
  const vectors = embedTexts(tape.operations, model, (name) => tracked.get(name)!, { ...fixed, tokenRows });
  const labels = loss.labels === 'none' ? undefined : tape.fixed(recorder.input('labels', 'float', labelShape(examples, labelWidth)));
  const value = lossOf(tape.operations, loss, vectors, columns, examples, labels);
  recorder.output('loss', value.value);
  const wanted: [string, typeof tokenRows][] = [...tracked].filter(([name]) => trained.has(name));
  if (tokenRows.step !== undefined) wanted.push(['tokenRows', tokenRows]);
  const found = tape.gradients(
    value,
    wanted.map(([, parameter]) => parameter),
  );
  for (const [index, [name]] of wanted.entries()) recorder.output(`gradient.${name}`, found[index]!);
  return recorder.encode();
}

/** The forward pass alone, for evaluation: inputs as of {@link recordStep} with one column and no labels, output `vectors` (`[examples, dimension]`). */
export function recordEmbedding(model: TrainableModel): Uint8Array<ArrayBuffer> {
  const recorder = new OnnxRecorder();
  const graph = new GraphInputs(recorder, model, [1, namedDimension('examples'), 'length']);
  recorder.output(
    'vectors',
    embedTexts(recorder.operations, model, (name) => graph.weights.get(name)!, graph),
  );
  return recorder.encode();
}

function labelShape(examples: Dimension, width: number | undefined): Shape {
  return width === undefined ? [examples] : [examples, width];
}

/** The inputs that every step graph has. Texts are `[columns, examples, length]` outside and `[batch, length]` inside. */
class GraphInputs {
  readonly ids: OnnxTensor;
  readonly mask: OnnxTensor;
  readonly poolingMask: OnnxTensor;
  readonly rows: OnnxTensor;
  readonly tokenRows: OnnxTensor;
  /** All but the token table. */
  readonly weights: ReadonlyMap<string, OnnxTensor>;

  constructor(recorder: OnnxRecorder, model: TrainableModel, [columns, examples, length]: [number, Dimension, Dimension]) {
    const batch = productOf([columns, examples]);
    const stacked = (name: string, kind: 'float' | 'index') =>
      recorder.operations.reshape(recorder.input(name, kind, [columns, examples, length]), [batch, length]);
    this.ids = stacked('ids', 'index');
    this.mask = stacked('mask', 'index');
    this.poolingMask = stacked('poolingMask', 'float');
    this.rows = recorder.input('rows', 'index', ['tokens']);
    const { definition } = model;
    this.tokenRows = recorder.input('tokenRows', 'float', ['tokens', definition.weights.get(definition.tokenTable)![1]!]);
    const inputs = trainableTensors(model).filter(({ name }) => name !== definition.tokenTable);
    this.weights = new Map(inputs.map(({ name, shape }) => [name, recorder.input(name, 'float', shape)]));
  }
}
