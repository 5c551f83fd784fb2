// Reads tensors from safetensors files: from one file, from shards, and with LoRA adapters merged in.
import { SentvecError } from '../errors.ts';
import { readConfigFile } from '../model-folder/config-file.ts';
import { joinModelPath } from '../model-folder/model-files.ts';
import { isObject, readJson } from '../model-folder/json.ts';
import type { FileParts, ModelFiles } from '../types.ts';
import { readHeader, type TensorEntry, type TensorType } from './safetensors-header.ts';
import { toFloat32, toInt32 } from './numbers.ts';

/** The named tensors of a model, from one safetensors file or several. */
export interface Weights {
  /** The names of all tensors, sorted. */
  names(): readonly string[];
  has(name: string): boolean;
  /** @throws SentvecError `invalid-model` when there is no such tensor */
  shape(name: string): readonly number[];
  /** The type in which the numbers are stored. @throws SentvecError `invalid-model` when there is no such tensor */
  type(name: string): TensorType;
  /**
   * The position of the numbers in a file of the model; `undefined` when they are computed, as with a merged adapter.
   */
  location(name: string): WeightLocation | undefined;
  /**
   * The numbers, row-major. F32 may be a view of the file's memory (do not write to it); F16, BF16 and F64 are
   * converted. Each call may read the file again.
   * @throws SentvecError `invalid-model` when there is no such tensor, `unsupported-model` when it is of another type
   */
  tensor(name: string): { readonly shape: readonly number[]; readonly data: Float32Array };
  /**
   * Some rows of a matrix, one after the other. Reads only these rows if possible.
   * @param indices indices of rows
   * @throws SentvecError as `tensor`
   */
  rows(name: string, indices: Iterable<number>): Float32Array;
  /**
   * The numbers of an integer tensor (BOOL, I8 to I64, U8 to U64), row-major, as a copy.
   * @throws SentvecError `invalid-model` when there is no such tensor or a number does not fit, `unsupported-model`
   * when it is of another type
   */
  integers(name: string): { readonly shape: readonly number[]; readonly data: Int32Array };
}

/** A part of a file of a model. */
export interface WeightLocation {
  readonly path: string;
  /** Offsets in bytes; `end` is not included. */
  readonly begin: number;
  readonly end: number;
}

interface StoredTensor extends TensorEntry {
  readonly file: string;
  readonly path: string;
  readonly read: FileParts['read'];
}

/**
 * Reads weights in the safetensors format: from `path`, or from the shards that `path` + `.index.json` lists. A LoRA
 * adapter in the same folder is merged into the weights, and so is the adapter of the task that `config.json` names.
 * The files are untrusted: everything is checked before it is used (https://github.com/huggingface/safetensors#format).
 * @param path path of the file in the model; default: `model.safetensors`
 * @throws SentvecError `invalid-model` when there are no weights, only PyTorch's own format, or when a file is damaged;
 * the message names the file and the tensor
 */
export async function readWeights(files: ModelFiles, path = 'model.safetensors'): Promise<Weights> {
  const present = new Set(await files.list());
  const tensors = new Map<string, StoredTensor>();
  const index = `${path}.index.json`;
  if (present.has(path)) await readFile(files, path, tensors);
  else if (present.has(index)) await readShards(files, index, present, tensors);
  else throw noWeights(files, path, present);
  const stored = new StoredWeights(`${files.name}/${path}`, tensors);
  return path === 'model.safetensors' ? mergeAdapters(files, present, stored) : stored;
}

async function mergeAdapters(files: ModelFiles, present: ReadonlySet<string>, stored: Weights): Promise<Weights> {
  const config = await readConfigFile(files, 'config.json');
  let weights = stored;
  if (config?.values['lora_adaptations'] !== undefined) {
    const { mergeTask } = await import('./task-adapters.ts');
    weights = mergeTask(weights, config);
  }
  if (!present.has('adapter_config.json')) return weights;
  const { adapterWeightsFile, mergeAdapter } = await import('./adapter.ts');
  return mergeAdapter(files, weights, await readWeights(files, adapterWeightsFile));
}

async function readFile(files: ModelFiles, path: string, into: Map<string, StoredTensor>): Promise<void> {
  const file = `${files.name}/${path}`;
  // If the source supports it, each tensor is read only when it is used, since a model may be larger than the memory.
  const { size, read } = (await files.openFile?.(path)) ?? partsOf(await files.read(path));
  for (const [name, entry] of readHeader(read, size, file)) {
    const other = into.get(name);
    if (other !== undefined) {
      throw new SentvecError(
        'invalid-model',
        `${file} and ${other.file} both contain the tensor "${name}". Download the model again.`,
        {
          file,
          tensor: name,
        },
      );
    }
    into.set(name, { ...entry, file, path, read });
  }
}

function partsOf(bytes: Uint8Array): FileParts {
  return { size: bytes.length, read: (begin, end) => bytes.subarray(begin, end) };
}

async function readShards(
  files: ModelFiles,
  index: string,
  present: ReadonlySet<string>,
  into: Map<string, StoredTensor>,
): Promise<void> {
  const source = `${files.name}/${index}`;
  const shardOf = readIndex(await readJson(files, index), source);
  const folder = index.split('/').slice(0, -1).join('/');
  const paths = new Map(shardOf.map(([, shard]) => [shard, joinModelPath(folder, shard, source)]));
  for (const path of new Set(paths.values())) {
    if (!present.has(path)) {
      throw new SentvecError(
        'invalid-model',
        `${source} lists the shard ${path}, which is missing. Download the model again.`,
        {
          file: source,
          path,
        },
      );
    }
    await readFile(files, path, into);
  }
  for (const [name, shard] of shardOf) {
    if (into.get(name)?.file === `${files.name}/${paths.get(shard)}`) continue;
    throw new SentvecError(
      'invalid-model',
      `According to ${source}, the tensor "${name}" is in ${shard}, but it is not. Download the model again.`,
      {
        file: source,
        tensor: name,
      },
    );
  }
}

function readIndex(index: unknown, file: string): [name: string, shard: string][] {
  const map = isObject(index) ? index['weight_map'] : undefined;
  const entries: [string, unknown][] = isObject(map) ? Object.entries(map) : [];
  if (entries.length === 0 || !entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) {
    throw new SentvecError(
      'invalid-model',
      `${file} has no "weight_map" from tensor names to files. Download the model again.`,
      { file },
    );
  }
  return entries;
}

function noWeights(files: ModelFiles, path: string, present: ReadonlySet<string>): SentvecError {
  const file = `${files.name}/${path}`;
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  const pickled = [
    path.replace(/safetensors$/u, 'bin'),
    `${folder}pytorch_model.bin`,
    `${folder}pytorch_model.bin.index.json`,
  ].find((name) => present.has(name));
  if (pickled === undefined) {
    const graph = [...present].find((name) => name.endsWith('.onnx'));
    const instead = graph === undefined ? '' : ` There is ${graph}, which only the backends onnx and webgpu can run.`;
    return new SentvecError('invalid-model', `There are no weights: ${file} is missing.${instead}`, { file });
  }
  return new SentvecError(
    'invalid-model',
    `${files.name} contains ${pickled} but not ${path}. Reading PyTorch's own format can execute code, so sentvec does not support it. ` +
      `Convert the model once: python -c "from sentence_transformers import SentenceTransformer as S; S('MODEL').save('CONVERTED')"`,
    { file },
  );
}

class StoredWeights implements Weights {
  readonly #file: string;
  readonly #tensors: ReadonlyMap<string, StoredTensor>;

  constructor(file: string, tensors: ReadonlyMap<string, StoredTensor>) {
    this.#file = file;
    this.#tensors = tensors;
  }

  names(): readonly string[] {
    return [...this.#tensors.keys()].sort();
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  shape(name: string): readonly number[] {
    return this.#stored(name).shape;
  }

  type(name: string): TensorType {
    return this.#stored(name).type;
  }

  location(name: string): WeightLocation {
    const { path, begin, end } = this.#stored(name);
    return { path, begin, end };
  }

  tensor(name: string): { readonly shape: readonly number[]; readonly data: Float32Array } {
    const { begin, end, shape } = this.#stored(name);
    return { shape, data: this.#numbers(name, begin, end) };
  }

  rows(name: string, indices: Iterable<number>): Float32Array {
    const { begin, end, shape } = this.#stored(name);
    const [height = 1, width = 1] = shape;
    const bytes = (end - begin) / height;
    const ids = [...indices];
    const rows = new Float32Array(ids.length * width);
    for (const [position, id] of ids.entries())
      rows.set(this.#numbers(name, begin + id * bytes, begin + (id + 1) * bytes), position * width);
    return rows;
  }

  #numbers(name: string, begin: number, end: number): Float32Array {
    const { read, type, file } = this.#stored(name);
    const data = toFloat32(read(begin, end), type);
    if (data === undefined) {
      throw new SentvecError(
        'unsupported-model',
        `Tensor "${name}" of ${file} has type ${type}. Weights must be F32, F16, BF16 or F64.`,
        {
          file,
          tensor: name,
        },
      );
    }
    return data;
  }

  integers(name: string): { readonly shape: readonly number[]; readonly data: Int32Array } {
    const { read, begin, end, type, shape, file } = this.#stored(name);
    const facts = { file, tensor: name };
    let data: Int32Array | undefined;
    try {
      data = toInt32(read(begin, end), type);
    } catch (cause) {
      throw new SentvecError(
        'invalid-model',
        `Tensor "${name}" of ${file} contains a number that does not fit into 32 bits.`,
        facts,
        {
          cause,
        },
      );
    }
    if (data === undefined)
      throw new SentvecError(
        'unsupported-model',
        `Tensor "${name}" of ${file} has type ${type}, which is not an integer type.`,
        facts,
      );
    return { shape, data };
  }

  #stored(name: string): StoredTensor {
    const stored = this.#tensors.get(name);
    if (stored !== undefined) return stored;
    throw new SentvecError('invalid-model', `${this.#file} has no tensor "${name}".`, {
      file: this.#file,
      tensor: name,
    });
  }
}
