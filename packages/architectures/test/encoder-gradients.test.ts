import { describe, expect, it } from 'vitest';
import {
  encoderNetwork,
  type EncoderNetwork,
  gradients,
  normalizeRows,
  OnnxRecorder,
  type Operations,
  plainIndices,
  plainOperations,
  type PlainTensor,
  plainTensor,
  productOf,
  Tape,
} from '@sentvec/architectures';
import { batchOf } from './encoding.ts';
import { type Config, randomWeights, tinyConfigs } from './models.ts';
import { largestDifference, runOnnx } from './onnx-session.ts';
import { random } from './operation-cases.ts';

const batch = batchOf(
  [
    [2, 7, 5, 3],
    [2, 3],
  ],
  1,
);
const shape = [batch.rows, batch.cols];
const realRows = [...batch.mask.keys()].filter((position) => batch.mask[position] === 1);

/** The inputs of an encoder without its weights. `rows` is only used for packed batches. */
interface Inputs<T> {
  readonly ids: T;
  readonly mask: T;
  readonly rows: T;
}

const plainInputs: Inputs<PlainTensor> = {
  ids: plainIndices(batch.ids, shape),
  mask: plainIndices(batch.mask, shape),
  rows: plainIndices(realRows, [realRows.length]),
};

/** A loss that depends on all entries of all tokens; `weights` is `[tokens, hidden]`. */
function lossOf<T>(
  ops: Operations<T>,
  network: EncoderNetwork,
  lookUp: (name: string) => T,
  inputs: Inputs<T>,
  weights: T,
  packed: boolean,
): T {
  const { ids, mask, rows } = inputs;
  const [batchSize, length] = ops.shape(ids);
  const positions = productOf([batchSize!, length!]);
  const all = packed
    ? network.encode(ops, lookUp, { ids, mask, rows })
    : ops.gather(ops.reshape(network.encode(ops, lookUp, { ids, mask }), [positions, network.hiddenSize]), rows, {
        distinct: true,
      });
  return ops.sum(ops.multiply(normalizeRows(ops, all), weights), [0, 1]);
}

interface Model {
  readonly network: EncoderNetwork;
  readonly names: readonly string[];
  readonly parameters: readonly PlainTensor[];
  readonly weights: PlainTensor;
}

async function modelOf(config: Config): Promise<Model> {
  const network = await encoderNetwork(config);
  const tensors = [...(await randomWeights(config))];
  return {
    network,
    names: tensors.map(([name]) => name),
    parameters: tensors.map(([, { data, shape: sizes }]) => plainTensor(data, sizes)),
    weights: random([realRows.length, network.hiddenSize], 77),
  };
}

function plainLoss({ network, names, weights }: Model, parameters: readonly PlainTensor[]): number {
  const lookUp = (name: string): PlainTensor => parameters[names.indexOf(name)]!;
  return lossOf(plainOperations, network, lookUp, plainInputs, weights, true).data[0]!;
}

function plainGradients({ network, names, parameters, weights }: Model, packed: boolean): readonly PlainTensor[] {
  return gradients(
    plainOperations,
    (ops, tracked, fixed) => {
      const inputs = { ids: fixed(plainInputs.ids), mask: fixed(plainInputs.mask), rows: fixed(plainInputs.rows) };
      return lossOf(ops, network, (name) => tracked[names.indexOf(name)]!, inputs, fixed(weights), packed);
    },
    parameters,
  ).gradients;
}

function finiteDifferences(model: Model): PlainTensor[] {
  const step = 1e-5;
  return model.parameters.map((parameter, i) => ({
    shape: parameter.shape,
    data: Float64Array.from(parameter.data, (value, entry) => {
      const [more, less] = [value + step, value - step].map((changed) => {
        const data = Float64Array.from(parameter.data).with(entry, changed);
        return plainLoss(model, model.parameters.with(i, { data, shape: parameter.shape }));
      });
      return (more! - less!) / (2 * step);
    }),
  }));
}

/** Records the loss and its gradients as one graph with dynamic sizes. The weights are inputs. */
function recordStep({ network, names, parameters }: Model): Uint8Array {
  const recorder = new OnnxRecorder();
  const tape = new Tape(recorder.operations);
  const tracked = names.map((name, i) => tape.parameter(recorder.input(name, 'float', parameters[i]!.shape)));
  const inputs = {
    ids: tape.fixed(recorder.input('ids', 'index', ['batch', 'length'])),
    mask: tape.fixed(recorder.input('mask', 'index', ['batch', 'length'])),
    rows: tape.fixed(recorder.input('rows', 'index', ['tokens'])),
  };
  const weights = tape.fixed(recorder.input('loss.weights', 'float', ['tokens', network.hiddenSize]));
  const loss = lossOf(tape.operations, network, (name) => tracked[names.indexOf(name)]!, inputs, weights, true);
  recorder.output('loss', loss.value);
  tape.gradients(loss, tracked).forEach((gradient, i) => recorder.output(`gradient of ${names[i]}`, gradient));
  return recorder.encode();
}

describe.each(Object.entries(tinyConfigs))('the gradient of %s', async (_, config) => {
  const model = await modelOf(config);

  it('equals finite differences for every weight', () => {
    const expected = finiteDifferences(model);
    const found = plainGradients(model, true);
    const wrong = model.names.filter(
      (name, i) => !model.network.weights.get(name)!.fixed && !(largestDifference(found[i]!, expected[i]!) < 1e-6),
    );
    expect(wrong).toEqual([]);
  });

  it('is the same for packed and padded batches', () => {
    const padded = plainGradients(model, false);
    plainGradients(model, true).forEach((gradient, i) =>
      expect(largestDifference(gradient, padded[i]!)).toBeLessThan(1e-12),
    );
  });

  it('is the same in onnxruntime', async () => {
    const feeds = Object.fromEntries(model.names.map((name, i) => [name, model.parameters[i]!]));
    const results = await runOnnx(recordStep(model), { ...feeds, ...plainInputs, 'loss.weights': model.weights }, 2);
    expect(Math.abs(results['loss']!.data[0]! - plainLoss(model, model.parameters))).toBeLessThan(1e-5);
    const expected = plainGradients(model, true);
    const wrong = model.names.filter(
      (name, i) => !(largestDifference(results[`gradient of ${name}`]!, expected[i]!) < 2e-5),
    );
    expect(wrong).toEqual([]);
  });
});

describe('token embeddings that the caller has looked up', async () => {
  const model = await modelOf(tinyConfigs['bert']!);
  const { network, names, parameters, weights } = model;
  const table = parameters[names.indexOf(network.tokenTable)]!;
  const ids = plainIndices(
    realRows.map((position) => batch.ids[position]!),
    [realRows.length],
  );

  it('give the same loss, and a gradient whose sum is that of the embedding matrix', () => {
    const tokenRows = plainOperations.gather(table, ids);
    const { value, gradients: found } = gradients(
      plainOperations,
      (ops, [rows], fixed) => {
        const lookUp = (name: string): ReturnType<typeof fixed> => fixed(parameters[names.indexOf(name)]!);
        const inputs = {
          ids: fixed(plainInputs.ids),
          mask: fixed(plainInputs.mask),
          rows: fixed(plainInputs.rows),
          tokenRows: rows!,
        };
        return ops.sum(ops.multiply(normalizeRows(ops, network.encode(ops, lookUp, inputs)), fixed(weights)), [0, 1]);
      },
      [tokenRows],
    );
    expect(value.data[0]).toBeCloseTo(plainLoss(model, parameters), 12);
    const scattered = plainOperations.scatterAdd(found[0]!, ids, table.shape[0]!);
    expect(largestDifference(scattered, plainGradients(model, true)[names.indexOf(network.tokenTable)]!)).toBeLessThan(
      1e-12,
    );
  });

  it('the function dropout is called with the rate of each dropout of the architecture', () => {
    const rates: number[] = [];
    network.encode(plainOperations, (name) => parameters[names.indexOf(name)]!, {
      ...plainInputs,
      dropout: (x, rate) => {
        rates.push(rate);
        return x;
      },
    });
    expect(rates).toEqual(Array.from({ length: 7 }, () => 0.1));
  });
});
