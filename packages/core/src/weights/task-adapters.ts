// Task adapters (LoRA, Sturua et al., 2024), stored in the weights of a model or in folders of their own: lists the
// tasks, and merges the adapter of the chosen task into the weights.
import { SentvecError } from '../errors.ts';
import type { ConfigFile } from '../model-folder/config-file.ts';
import { readJsonObject } from '../model-folder/json.ts';
import { withReplacedFiles } from '../model-folder/model-files.ts';
import type { ModelFiles } from '../types.ts';
import { adapterConfigFile, adapterWeightsFile, addProduct, rowsOf } from './adapter.ts';
import type { WeightLocation, Weights } from './read-weights.ts';
import type { TensorType } from './safetensors-header.ts';

/** The tasks whose adapters are stored in the model's weights, according to its `config.json`. */
function adaptedTasks({ values }: Pick<ConfigFile, 'values'>): readonly string[] {
  const { lora_adaptations: tasks, load_trained_adapters: present } = values;
  if (present === false || !Array.isArray(tasks)) return [];
  return tasks.filter((task) => typeof task === 'string');
}

/** A folder in a model with the adapter of one task; its name is that of the task. */
const taskFolder = /^([^/]+)\/adapter_config\.json$/u;

/** All tasks that a model has adapters for, in its weights or in folders. */
export async function tasksOf(files: ModelFiles): Promise<readonly string[]> {
  const values = (await readJsonObject(files, 'config.json')) ?? {};
  const folders = (await files.list()).flatMap((path) => taskFolder.exec(path)?.[1] ?? []);
  return [...adaptedTasks({ values }), ...folders];
}

/** Changed files by path: new contents, or the path of the file to read instead. */
type Changes = ReadonlyMap<string, Uint8Array | string>;

/**
 * A view of a model with the adapter of a task. If adapters are stored in the weights, the task becomes `default_task`
 * in `config.json`; if they are in folders, the files of the task's adapter appear next to the weights. ONNX files and
 * self-checks are left out, since they were made without the adapter.
 * @throws SentvecError `invalid-argument` when the model has no adapter for that task
 */
export async function withTask(files: ModelFiles, task: string): Promise<ModelFiles> {
  const paths = (await files.list()).filter((path) => !/\.onnx(?:[._]data)?$|(?:^|\/)self-check\.json$/u.test(path));
  const changes = (await changedConfigs(files, paths, task)) ?? movedAdapter(paths, task);
  if (changes === undefined) throw unknownTaskError(files.name, task, await tasksOf(files));
  return withReplacedFiles(files, paths, changes);
}

/** The configurations that list the task, with the task as `default_task`. */
async function changedConfigs(files: ModelFiles, paths: readonly string[], task: string): Promise<Changes | undefined> {
  const changed = new Map<string, Uint8Array>();
  for (const path of paths.filter((each) => /(?:^|\/)config\.json$/u.test(each))) {
    const values = (await readJsonObject(files, path)) ?? {};
    if (adaptedTasks({ values }).includes(task))
      changed.set(path, new TextEncoder().encode(JSON.stringify({ ...values, default_task: task }, undefined, 2)));
  }
  return changed.size === 0 ? undefined : changed;
}

/** Folder names have underscores instead of dots and hyphens: `retrieval_query` for `retrieval.query`. */
function movedAdapter(paths: readonly string[], task: string): Changes | undefined {
  const folder = [task, task.replaceAll(/[.-]/gu, '_')].find((each) => paths.includes(`${each}/${adapterConfigFile}`));
  if (folder === undefined) return undefined;
  return new Map([adapterConfigFile, adapterWeightsFile].map((name) => [name, `${folder}/${name}`]));
}

function unknownTaskError(model: string, task: string, known: readonly string[]): SentvecError {
  return new SentvecError(
    'invalid-argument',
    known.length === 0
      ? `${model} has no adapters for tasks: leave out the task ${JSON.stringify(task)}.`
      : `${model} has no adapter for the task ${JSON.stringify(task)}. It has adapters for ${known.join(', ')}.`,
    { task },
  );
}

/** Suffix of the name of an adapted weight without its adapter. */
const original = '.parametrizations.weight.original';

/**
 * Merges the adapter of the model's `default_task` into its weights: W + alpha / rank · B · A. Without a task, the
 * weights that all tasks share.
 * @throws SentvecError `invalid-model` when the adapters are missing or do not fit
 */
export function mergeTask(stored: Weights, config: ConfigFile): Weights {
  const adapted = stored.names().filter((name) => name.endsWith(original));
  const task = config.string('default_task');
  const index = task === undefined ? undefined : adaptedTasks(config).indexOf(task);
  if (task !== undefined && (index === -1 || adapted.length === 0)) {
    throw new SentvecError(
      'invalid-model',
      `${config.file} requires the adapter of the task ${JSON.stringify(task)}, but the model's weights do not contain it. Download the model again.`,
      { file: config.file },
    );
  }
  const alpha = config.number('lora_alpha') ?? 1;
  return new TaskWeights(stored, adapted, alpha, index);
}

/** Names of the tensors of an adapted weight. */
interface Adapted {
  readonly original: string;
  readonly a: string;
  readonly b: string;
}

class TaskWeights implements Weights {
  readonly #stored: Weights;
  readonly #adapted: ReadonlyMap<string, Adapted>;
  readonly #alpha: number;
  readonly #task: number | undefined;

  constructor(stored: Weights, adapted: readonly string[], alpha: number, task: number | undefined) {
    this.#stored = stored;
    this.#alpha = alpha;
    this.#task = task;
    this.#adapted = new Map(
      adapted.map((name) => {
        const module = name.slice(0, -original.length);
        const part = `${module}.parametrizations.weight.0.lora_`;
        return [`${module}.weight`, { original: name, a: `${part}A`, b: `${part}B` }];
      }),
    );
  }

  names(): readonly string[] {
    const own = this.#stored.names().filter((name) => !name.includes('.parametrizations.weight.'));
    return [...own, ...this.#adapted.keys()].sort();
  }

  has(name: string): boolean {
    return this.#adapted.has(name) || this.#stored.has(name);
  }

  shape(name: string): readonly number[] {
    return this.#stored.shape(this.#storedName(name));
  }

  type(name: string): TensorType {
    return this.#isMerged(name) ? 'F32' : this.#stored.type(this.#storedName(name));
  }

  tensor(name: string): { readonly shape: readonly number[]; readonly data: Float32Array } {
    const adapted = this.#adapted.get(name);
    const tensor = this.#stored.tensor(adapted?.original ?? name);
    if (adapted === undefined || this.#task === undefined) return tensor;
    const [rows, columns] = tensor.shape as [number, number];
    const [a, b] = [this.#matrixOfTask(adapted.a), this.#matrixOfTask(adapted.b)];
    // For embedding tables, the factors are stored in reverse order.
    const [left, right] = a.rows === rows && b.columns === columns && a.columns === b.rows ? [a, b] : [b, a];
    if (left.rows !== rows || right.columns !== columns || left.columns !== right.rows) {
      throw new SentvecError(
        'invalid-model',
        `The adapters of the tensor "${name}" do not fit its shape [${tensor.shape.join(', ')}]. Download the model again.`,
        { tensor: name },
      );
    }
    const scale = this.#alpha / left.columns;
    return { shape: tensor.shape, data: addProduct(tensor.data, left.data, right.data, [rows, columns], scale) };
  }

  location(name: string): WeightLocation | undefined {
    return this.#isMerged(name) ? undefined : this.#stored.location(this.#storedName(name));
  }

  rows(name: string, indices: Iterable<number>): Float32Array {
    return this.#isMerged(name)
      ? rowsOf(this.tensor(name), indices)
      : this.#stored.rows(this.#storedName(name), indices);
  }

  integers(name: string): { readonly shape: readonly number[]; readonly data: Int32Array } {
    return this.#stored.integers(name);
  }

  /** Whether an adapter is merged into a weight, so that it is computed instead of read from a file. */
  #isMerged(name: string): boolean {
    return this.#task !== undefined && this.#adapted.has(name);
  }

  #storedName(name: string): string {
    return this.#adapted.get(name)?.original ?? name;
  }

  /** The matrix of the chosen task, from a tensor with those of all tasks. */
  #matrixOfTask(name: string): { readonly rows: number; readonly columns: number; readonly data: Float32Array } {
    const { shape, data } = this.#stored.tensor(name);
    const [tasks = 0, rows = 0, columns = 0] = shape;
    const size = rows * columns;
    if (shape.length !== 3 || this.#task! >= tasks) {
      throw new SentvecError(
        'invalid-model',
        `The tensor "${name}" has the shape [${shape.join(', ')}], which has no adapter with the index ${this.#task}. Download the model again.`,
        { tensor: name },
      );
    }
    return { rows, columns, data: data.subarray(this.#task! * size, (this.#task! + 1) * size) };
  }
}
