// The encoder of a model folder: the architecture that its config.json names, with the weights in its files.
import {
  type ModelFiles,
  readWeights,
  SentvecError,
  type TensorType,
  type WeightLocation,
  type Weights,
} from '@sentvec/core';
import type { Operations } from '../operations.ts';
import { ConfigReader } from './config.ts';
import type { EncoderInputs, EncoderNetwork, WeightLookup } from './network.ts';
import { networkOf } from './registry.ts';

/** An encoder network together with its weights, read from a model folder. */
export interface EncoderDefinition {
  /** `model_type` of `config.json`. */
  readonly modelType: string;
  /** The length of a token's vector. */
  readonly hiddenSize: number;
  /** The maximum length of a text in tokens; `Infinity` if there is no limit. */
  readonly maxPositions: number;
  /** The number of token ids, which count from 0. */
  readonly vocabularySize: number;
  /** The name of the embedding matrix, which has one row for each token id. */
  readonly tokenTable: string;
  readonly network: EncoderNetwork;
  /** All weights that the network uses, by their names in it, with their shapes. */
  readonly weights: ReadonlyMap<string, readonly number[]>;
  /**
   * The names of a weight in the files, at least one: with a prefix, under an older name, or under several names if it
   * is tied.
   */
  storedNames(name: string): readonly string[];
  /**
   * The numbers of a weight, row-major. The array may be a view of the file: do not write to it. Each call may read the
   * file.
   */
  weight(name: string): Float32Array;
  /** The rows of the embedding matrix for `ids`, one after the other. If possible, other rows are not read. */
  tokenRows(ids: Iterable<number>): Float32Array;
  /** The file, the offsets and the type of a weight; `undefined` if no file contains it unchanged. */
  location(name: string): (WeightLocation & { readonly type: TensorType }) | undefined;
}

/**
 * Reads the encoder of a model folder: the architecture and its sizes from `config.json`, the weights from
 * `model.safetensors` or its shards. The shapes of all weights are checked; weights that the architecture does not use
 * are ignored.
 * @throws SentvecError `unsupported-model` for an architecture or a variant that sentvec does not support;
 * `invalid-model` if a file is missing or damaged, or a weight is missing or has another shape
 */
export async function readEncoder(files: ModelFiles): Promise<EncoderDefinition> {
  const config = ConfigReader.parse(await files.read('config.json'), `${files.name}/config.json`);
  await networkOf(config); // This refuses unsupported models before the weights are read.
  const stored = await readWeights(files);
  const names = stored.names();
  const network = await networkOf(config, {
    has: (name) => names.some((each) => each === name || each.endsWith(`.${name}`)),
  });
  const found = findWeights(network, stored, `${files.name}/model.safetensors`);
  const { hiddenSize, maxPositions, vocabularySize, tokenTable } = network;
  return {
    modelType: config.text('model_type'),
    hiddenSize,
    maxPositions,
    vocabularySize,
    tokenTable,
    network,
    weights: new Map([...found].map(([name, { shape }]) => [name, shape])),
    storedNames: (name) => lookUp(found, name).storedNames,
    weight: (name) => stored.tensor(lookUp(found, name).storedNames[0]).data,
    tokenRows: (ids) => stored.rows(lookUp(found, tokenTable).storedNames[0], ids),
    location(name) {
      const [storedName] = lookUp(found, name).storedNames;
      const location = stored.location(storedName);
      return location && { ...location, type: stored.type(storedName) };
    },
  };
}

/**
 * Runs the encoder of a definition with the operations `ops` and the weights of `weight`. See
 * {@link EncoderNetwork.encode}.
 */
export function encode<T>(
  ops: Operations<T>,
  definition: EncoderDefinition,
  weight: WeightLookup<T>,
  inputs: EncoderInputs<T>,
): T {
  return definition.network.encode(ops, weight, inputs);
}

/** A lookup that returns the weights of a definition as constants. Each constant is created once. */
export function constantWeights<T>(ops: Operations<T>, definition: EncoderDefinition): WeightLookup<T> {
  const made = new Map<string, T>();
  return (name) => {
    const known = made.get(name) ?? ops.constant(definition.weight(name), definition.weights.get(name)!);
    made.set(name, known);
    return known;
  };
}

interface FoundWeight {
  readonly storedNames: readonly [string, ...string[]];
  readonly shape: readonly number[];
}

function lookUp(found: ReadonlyMap<string, FoundWeight>, name: string): FoundWeight {
  const weight = found.get(name);
  if (weight === undefined) throw new Error(`The network does not list the weight "${name}".`);
  return weight;
}

function findWeights(network: EncoderNetwork, stored: Weights, file: string): Map<string, FoundWeight> {
  const prefix = commonPrefix(stored.names(), namesOf(network, network.tokenTable));
  const found = new Map<string, FoundWeight>();
  for (const [name, { shape }] of network.weights) {
    const names = namesOf(network, name);
    const prefixed = names.map((each) => prefix + each).filter((each) => stored.has(each));
    // Weights outside the encoder, such as those of a projection, have no prefix.
    const present = prefixed.length > 0 ? prefixed : names.filter((each) => stored.has(each));
    const [storedName, ...others] = present;
    if (storedName === undefined) throw missing(file, prefix + name);
    for (const each of present) checkShape(file, each, stored.shape(each), shape);
    found.set(name, { storedNames: [storedName, ...others], shape });
  }
  return found;
}

function namesOf({ weights }: EncoderNetwork, name: string): string[] {
  return [name, ...(weights.get(name)?.otherNames ?? [])];
}

/** The prefix of the names of all weights, for example the empty string, `bert.` or `0.auto_model.`. */
function commonPrefix(names: readonly string[], tokenTable: readonly string[]): string {
  const prefixes = tokenTable.flatMap((table) =>
    names.filter((name) => name === table || name.endsWith(`.${table}`)).map((name) => name.slice(0, -table.length)),
  );
  return prefixes.sort((a, b) => a.length - b.length)[0] ?? '';
}

function checkShape(file: string, tensor: string, found: readonly number[], expected: readonly number[]): void {
  if (found.join() === expected.join()) return;
  throw new SentvecError(
    'invalid-model',
    `${file}: tensor "${tensor}" has the shape [${found.join(', ')}], but config.json requires [${expected.join(', ')}]. ` +
      'The two files do not belong together, or one is damaged: download the model again.',
    { file, tensor, expected, found },
  );
}

function missing(file: string, tensor: string): SentvecError {
  return new SentvecError(
    'invalid-model',
    `${file} has no tensor "${tensor}", which config.json requires. The two files do not belong together, or the download is incomplete: download the model again.`,
    { file, tensor },
  );
}
