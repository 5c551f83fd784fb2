import {
  encoderNetwork,
  type EncoderNetwork,
  gradients,
  normalizeRows,
  type Operations,
  plainIndices,
  plainOperations,
  type PlainTensor,
  plainTensor,
} from '@sentvec/architectures';
import { onBackend, openRuntime, type Runtime, tfjsOperations, type TfTensor } from '@sentvec/backend-tfjs';
// Registers the gradients of TensorFlow.js.
import '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Config, randomWeights, tinyConfigs } from '../../architectures/test/models.ts';
import { random } from '../../architectures/test/operation-cases.ts';
import { fromPlain, largestDifference, tidied, toPlain } from './plain-tensors.ts';

/** Two texts, the second padded. */
const shape = [2, 4];
const ids = plainIndices([2, 7, 5, 3, 2, 3, 1, 1], shape);
const mask = plainIndices([1, 1, 1, 1, 1, 1, 0, 0], shape);
const realRows = plainIndices([0, 1, 2, 3, 4, 5], [6]);

interface Model {
  readonly network: EncoderNetwork;
  /** Of the weights that are trained. */
  readonly names: readonly string[];
  readonly weights: readonly PlainTensor[];
  /** Tables that training leaves as they are, by name. */
  readonly tables: ReadonlyMap<string, PlainTensor>;
  /** What each entry of the result counts in the loss. */
  readonly factors: PlainTensor;
}

async function modelOf(config: Config): Promise<Model> {
  const network = await encoderNetwork(config);
  const tensors = [...(await randomWeights(config))].map(
    ([name, { data, shape: sizes }]) => [name, plainTensor(data, sizes)] as const,
  );
  const isTable = ([name]: readonly [string, PlainTensor]): boolean => network.weights.get(name)!.fixed;
  const trained = tensors.filter((tensor) => !isTable(tensor));
  return {
    network,
    names: trained.map(([name]) => name),
    weights: trained.map(([, tensor]) => tensor),
    tables: new Map(tensors.filter(isTable)),
    factors: random([realRows.data.length, network.hiddenSize], 77),
  };
}

/** A number that depends on every real token in a way of its own, and on every weight. */
function lossOf<T>(
  ops: Operations<T>,
  { network, names, tables, factors }: Model,
  weights: readonly T[],
  constant: (tensor: PlainTensor) => T,
): T {
  const inputs = { ids: constant(ids), mask: constant(mask) };
  const weight = (name: string): T => {
    const table = tables.get(name);
    return table === undefined ? weights[names.indexOf(name)]! : constant(table);
  };
  const tokens = network.encode(ops, weight, inputs);
  const rows = ops.gather(ops.reshape(tokens, [8, network.hiddenSize]), constant(realRows));
  return ops.sum(ops.multiply(normalizeRows(ops, rows), constant(factors)), [0, 1]);
}

describe.each(['wasm', 'cpu'] as const)('encoders on %s', (device) => {
  let runtime: Runtime;

  beforeAll(async () => {
    runtime = await openRuntime(device);
  });

  /** On this test's device; no tensor may be left behind. */
  function compute<T>(work: () => T): T {
    return onBackend(runtime, () => {
      const before = runtime.tf.memory().numTensors;
      const result = tidied(runtime.tf, work);
      expect(runtime.tf.memory().numTensors).toBe(before);
      return result;
    });
  }

  const lossAt = (model: Model, weights: readonly PlainTensor[]): number =>
    compute(() => {
      const { tf } = runtime;
      const constant = (tensor: PlainTensor): TfTensor => fromPlain(tf, tensor);
      return lossOf(tfjsOperations(tf), model, weights.map(constant), constant).dataSync()[0]!;
    });

  const gradientsOf = (model: Model): readonly PlainTensor[] =>
    compute(() => {
      const { tf } = runtime;
      const constant = (tensor: PlainTensor): TfTensor => fromPlain(tf, tensor);
      const weights = model.weights.map(constant);
      return tf
        .grads((...parameters: TfTensor[]) => lossOf(tfjsOperations(tf), model, parameters, constant))(weights)
        .map(toPlain);
    });

  describe.each(Object.entries(tinyConfigs))('%s', async (_, config) => {
    const model = await modelOf(config);

    it('has the gradient that the tape has in float64', () => {
      const expected = gradients(
        plainOperations,
        (ops, weights, fixed) => lossOf(ops, model, weights, fixed),
        model.weights,
      ).gradients;
      const found = gradientsOf(model);
      const wrong = model.names.filter((__, index) => {
        const scale = 1 + Math.max(...expected[index]!.data.map(Math.abs));
        return !(largestDifference(found[index]!, expected[index]!) / scale < 2e-5);
      });
      expect(wrong).toEqual([]);
    });

    it('has the gradient that finite differences have, along a random direction of each weight', async () => {
      // A step may cross the kink of a relu, where no difference is a derivative. Its gradient is compared with the
      // tape's above.
      const smooth = Object.values(config).includes('relu') ? await modelOf(withoutKinks(config)) : model;
      const found = gradientsOf(smooth);
      const wrong = smooth.names.flatMap((name, index) => {
        const direction = unitDirection(smooth.weights[index]!, index);
        const slope = dot(found[index]!, direction);
        const measured = slopeAlong((distance) => lossAt(smooth, moved(smooth.weights, index, direction, distance)));
        return Math.abs(measured - slope) < 5e-4 * (1 + Math.abs(slope))
          ? []
          : [`${name}: ${slope}, measured ${measured}`];
      });
      expect(wrong).toEqual([]);
    });
  });
});

/** The configuration with a smooth activation, whichever of its fields names it. */
function withoutKinks(config: Config): Config {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, value === 'relu' ? 'gelu_new' : value]));
}

/**
 * The derivative at 0 by four points: the error is of the fourth power of the step, whose size keeps float32's rounding
 * at some 1e-5.
 */
function slopeAlong(compute: (distance: number) => number): number {
  const step = 0.01;
  const difference = (distance: number): number => compute(distance) - compute(-distance);
  return (8 * difference(step) - difference(2 * step)) / (12 * step);
}

function unitDirection({ shape: sizes }: PlainTensor, seed: number): PlainTensor {
  const direction = random(sizes, 500 + seed);
  const length = Math.sqrt(dot(direction, direction));
  return plainTensor(
    direction.data.map((entry) => entry / length),
    sizes,
  );
}

function moved(
  weights: readonly PlainTensor[],
  index: number,
  direction: PlainTensor,
  distance: number,
): readonly PlainTensor[] {
  const { data, shape: sizes } = weights[index]!;
  return weights.with(
    index,
    plainTensor(
      data.map((entry, i) => entry + distance * direction.data[i]!),
      sizes,
    ),
  );
}

function dot(a: PlainTensor, b: PlainTensor): number {
  return Array.from(a.data).reduce((sum, entry, index) => sum + entry * b.data[index]!, 0);
}
