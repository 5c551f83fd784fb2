// LoRA adapters of PEFT (Hu et al., 2021): finds the base model of an adapter, and merges the adapter into its weights.
import { SentvecError } from '../errors.ts';
import { type ConfigFile, requireConfigFile } from '../model-folder/config-file.ts';
import { isObject } from '../model-folder/json.ts';
import type { ModelFiles } from '../types.ts';
import type { WeightLocation, Weights } from './read-weights.ts';
import type { TensorType } from './safetensors-header.ts';

/** The configuration of an adapter; a folder with this file has an adapter. */
export const adapterConfigFile = 'adapter_config.json';
/** The weights of the adapter. */
export const adapterWeightsFile = 'adapter_model.safetensors';

/** Files that are read from the base model when it is in another folder. */
const baseFile = /^(?:config\.json|model(?:-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json)$/u;

/**
 * Adds the base model to a folder that contains only an adapter; returns any other folder unchanged.
 * @param related finds the base model by its name
 * @throws SentvecError `invalid-model` when the base model cannot be found
 */
export async function withBaseModel(files: ModelFiles, related: ModelFiles['related']): Promise<ModelFiles> {
  const own = await files.list();
  if (!own.includes(adapterConfigFile) || own.includes('config.json')) return files;
  const config = await requireConfigFile(files, adapterConfigFile);
  const base = await findBase(config, related);
  const listed = (await base.list()).filter((path) => baseFile.test(path) && !own.includes(path));
  const baseFiles = new Set(listed);
  const ownerOf = (path: string): ModelFiles => (baseFiles.has(path) ? base : files);
  return {
    name: files.name,
    revision: files.revision,
    list: async () => [...own, ...listed].sort(),
    read: (path) => ownerOf(path).read(path),
    ...(files.sha256 && base.sha256 && { sha256: (path: string) => ownerOf(path).sha256!(path) }),
    ...(files.size && base.size && { size: (path: string) => ownerOf(path).size!(path) }),
    ...(files.openFile && base.openFile && { openFile: (path: string) => ownerOf(path).openFile!(path) }),
  };
}

async function findBase(config: ConfigFile, related: ModelFiles['related']): Promise<ModelFiles> {
  const name = config.required('base_model_name_or_path', config.string('base_model_name_or_path'));
  const refuse = (why: string, cause?: unknown): SentvecError =>
    new SentvecError(
      'invalid-model',
      `${config.file} adapts the model ${JSON.stringify(name)}, which ${why}. Copy the model's config.json and safetensors into the folder of the adapter, or merge the two once: ` +
        `python -c "from sentence_transformers import SentenceTransformer as S; m = S('ADAPTER'); m[0].auto_model = m[0].auto_model.merge_and_unload(); m.save('MERGED')"`,
      { file: config.file },
      { cause },
    );
  const revision = config.string('revision');
  if (revision !== undefined && revision !== 'main')
    throw refuse(`is needed in the revision "${revision}"; sentvec supports only the revision "main"`);
  if (related === undefined) throw refuse('is not available');
  try {
    return await related(name);
  } catch (error) {
    if (SentvecError.is(error, 'aborted')) throw error;
    throw refuse(`cannot be read: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

/** The low-rank product that an adapter adds to a tensor. `a` and `b` are names of tensors in the adapter's file. */
interface LowRank {
  readonly a: string;
  readonly b: string;
  readonly scale: number;
  /** Whether the product is transposed, as for embedding tables. */
  readonly transposed: boolean;
}

/** How the adapter changes one tensor. */
interface Change {
  /** Name of the tensor in the adapter's file that replaces it. */
  readonly replacement?: string | undefined;
  readonly added?: LowRank | undefined;
}

/**
 * Merges the adapter of a folder into the model's weights: W + scale · B · A.
 * @param base the weights of the model
 * @param adapter the tensors of `adapter_model.safetensors`
 * @throws SentvecError `unsupported-model` for other adapters than plain LoRA; `invalid-model` when the adapter does
 * not fit the model
 */
export async function mergeAdapter(files: ModelFiles, base: Weights, adapter: Weights): Promise<Weights> {
  const config = await requireConfigFile(files, adapterConfigFile);
  checkVariant(config);
  const file = `${files.name}/${adapterWeightsFile}`;
  const changes = readChanges(config, adapter, file);
  const targets = new Map<string, Change>();
  for (const [target, change] of changes) {
    const stored = findTarget(base.names(), target);
    // A tensor that the model does not have, such as the head of another task, is only added.
    if (stored === undefined && change.added !== undefined)
      throw adapterError(file, target, 'the model has no tensor of this name, or several');
    targets.set(stored ?? target, change);
  }
  return new MergedWeights(base, adapter, targets, file);
}

/**
 * Keys that are read below, and keys that do not affect the result, such as the origin and the training of the adapter.
 */
const knownKeys = new Set(
  (
    'peft_type r lora_alpha use_rslora alpha_pattern rank_pattern bias fan_in_fan_out init_lora_weights task_type ' +
    'base_model_name_or_path revision inference_mode target_modules exclude_modules modules_to_save lora_dropout ' +
    'layers_to_transform layers_pattern auto_mapping peft_version eva_config corda_config lora_ga_config loftq_config ' +
    'megatron_config megatron_core qalora_group_size runtime_config ensure_weight_tying'
  ).split(' '),
);

/** Initializations of an adapter (`init_lora_weights`) that leave the weights of the model unchanged. */
const plainInitializations: ReadonlySet<unknown> = new Set([
  undefined,
  null,
  true,
  false,
  'gaussian',
  'orthogonal',
  'eva',
]);

function checkVariant(config: ConfigFile): void {
  const { peft_type: type, fan_in_fan_out: transposed, init_lora_weights: initialization } = config.values;
  if (type !== 'LORA') throw unsupported(config, 'peft_type', type);
  if (transposed === true) throw unsupported(config, 'fan_in_fan_out', transposed);
  if (!plainInitializations.has(initialization)) throw unsupported(config, 'init_lora_weights', initialization);
  for (const [key, value] of Object.entries(config.values)) {
    const isOff = value === null || value === false || (isObject(value) && Object.keys(value).length === 0);
    if (!isOff && !knownKeys.has(key)) throw unsupported(config, key, value);
  }
}

function unsupported({ file }: ConfigFile, key: string, value: unknown): SentvecError {
  return new SentvecError(
    'unsupported-model',
    `${file}: ${key} ${JSON.stringify(value)?.slice(0, 200)} is not supported. sentvec merges plain LoRA adapters; merge others with PEFT (merge_and_unload) and save the model.`,
    { file, key },
  );
}

/** The changes of an adapter, keyed by PEFT's names of the tensors. */
function readChanges(config: ConfigFile, adapter: Weights, file: string): Map<string, Change> {
  const changes = new Map<string, Change>();
  const change = (target: string, part: Change): void => {
    changes.set(target, { ...changes.get(target), ...part });
  };
  for (const name of adapter.names()) {
    const path = name.replace(/^base_model\.model\./u, '');
    const [, module, table, part] = /^(.+)\.lora_(embedding_)?([AB])(?:\.weight)?$/u.exec(path) ?? [];
    if (module === undefined) {
      if (path.includes('.lora_'))
        throw adapterError(file, name, 'belongs to a variant of LoRA that sentvec does not support');
      change(path.replace('.base_layer.', '.'), { replacement: name });
      continue;
    }
    const other = name.replace(/lora_(embedding_)?[AB]/u, (found) => found.slice(0, -1) + (part === 'A' ? 'B' : 'A'));
    if (!adapter.has(other)) throw adapterError(file, name, `has no counterpart "${other}"`);
    const [a, b] = part === 'A' ? [name, other] : [other, name];
    const rank = adapter.shape(a)[0]!;
    const scale = readScale(config, module, rank);
    change(`${module}.weight`, { added: { a, b, scale, transposed: table !== undefined } });
  }
  return changes;
}

/** The factor of the product for a module: alpha / rank, or alpha / √rank for rank-stabilized LoRA. */
function readScale(config: ConfigFile, module: string, rank: number): number {
  let alpha = config.number('lora_alpha') ?? 8;
  const patterns = Object.entries(config.object('alpha_pattern')?.values ?? {});
  const [, own] = patterns.find(([pattern]) => matches(config, pattern, module)) ?? [];
  if (own !== undefined && typeof own !== 'number') throw unsupported(config, 'alpha_pattern', own);
  alpha = own ?? alpha;
  return alpha / (config.boolean('use_rslora') === true ? Math.sqrt(rank) : rank);
}

/**
 * Whether a pattern matches a module. Patterns must be names of modules or their ends; other regular expressions are
 * refused, since the folder is untrusted.
 */
function matches(config: ConfigFile, pattern: string, module: string): boolean {
  if (!/^\^?[\w.]+$/u.test(pattern)) throw unsupported(config, 'alpha_pattern', pattern);
  return pattern.startsWith('^') ? module === pattern.slice(1) : module === pattern || module.endsWith(`.${pattern}`);
}

/** Finds the model's tensor for PEFT's name `target`. Either name may have an additional prefix. */
function findTarget(names: readonly string[], target: string): string | undefined {
  const [found, ...others] = names.filter(
    (name) => name === target || name.endsWith(`.${target}`) || target.endsWith(`.${name}`),
  );
  return others.length === 0 || found === target ? found : undefined;
}

function adapterError(file: string, tensor: string, why: string): SentvecError {
  return new SentvecError(
    'invalid-model',
    `${file}: tensor "${tensor}" does not fit: ${why}. Check that the adapter belongs to this model.`,
    { file, tensor },
  );
}

/** The weights of a model with an adapter. Each tensor is merged when it is read. */
class MergedWeights implements Weights {
  readonly #base: Weights;
  readonly #adapter: Weights;
  readonly #changes: ReadonlyMap<string, Change>;
  readonly #file: string;

  constructor(base: Weights, adapter: Weights, changes: ReadonlyMap<string, Change>, file: string) {
    this.#base = base;
    this.#adapter = adapter;
    this.#changes = changes;
    this.#file = file;
    for (const [name, change] of changes) this.#check(name, change);
  }

  names(): readonly string[] {
    return [...new Set([...this.#base.names(), ...this.#changes.keys()])].sort();
  }

  has(name: string): boolean {
    return this.#base.has(name) || this.#changes.has(name);
  }

  shape(name: string): readonly number[] {
    const { replacement } = this.#changes.get(name) ?? {};
    return replacement === undefined ? this.#base.shape(name) : this.#adapter.shape(replacement);
  }

  type(name: string): TensorType {
    return this.#changes.has(name) ? 'F32' : this.#base.type(name);
  }

  tensor(name: string): { readonly shape: readonly number[]; readonly data: Float32Array } {
    const { replacement, added } = this.#changes.get(name) ?? {};
    const tensor = replacement === undefined ? this.#base.tensor(name) : this.#adapter.tensor(replacement);
    if (added === undefined) return tensor;
    const [rows, columns] = tensor.shape as [number, number];
    const [a, b] = [this.#adapter.tensor(added.a).data, this.#adapter.tensor(added.b).data];
    const [left, right] = added.transposed ? [transpose(a, rows), transpose(b, b.length / columns)] : [b, a];
    return { shape: tensor.shape, data: addProduct(tensor.data, left, right, [rows, columns], added.scale) };
  }

  location(name: string): WeightLocation | undefined {
    return this.#changes.has(name) ? undefined : this.#base.location(name);
  }

  rows(name: string, indices: Iterable<number>): Float32Array {
    return this.#changes.has(name) ? rowsOf(this.tensor(name), indices) : this.#base.rows(name, indices);
  }

  integers(name: string): { readonly shape: readonly number[]; readonly data: Int32Array } {
    return this.#base.integers(name);
  }

  #check(name: string, { replacement, added }: Change): void {
    const shape = this.shape(name);
    if (replacement !== undefined && this.#base.has(name) && this.#base.shape(name).join() !== shape.join())
      throw adapterError(this.#file, name, `it has the shape [${shape.join(', ')}]`);
    if (added === undefined) return;
    const [rankA, inputs] = this.#adapter.shape(added.a);
    const [outputs, rankB] = this.#adapter.shape(added.b);
    const product = added.transposed ? [inputs, outputs] : [outputs, inputs];
    if (rankA === rankB && shape.join() === product.join()) return;
    const found = `the model has it as [${shape.join(', ')}], the adapter changes [${product.join(', ')}]`;
    throw adapterError(this.#file, name, found);
  }
}

/** Some rows of a matrix, one after the other. */
export function rowsOf({ shape, data }: ReturnType<Weights['tensor']>, indices: Iterable<number>): Float32Array {
  const width = shape[1]!;
  return Float32Array.from([...indices].flatMap((id) => [...data.subarray(id * width, (id + 1) * width)]));
}

/** Transposes a matrix with `columns` columns. */
function transpose(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns;
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** weight + scale · left · right, where `left` is `[rows, rank]` and `right` is `[rank, columns]`. */
export function addProduct(
  weight: Float32Array,
  left: Float32Array,
  right: Float32Array,
  [rows, columns]: readonly [number, number],
  scale: number,
): Float32Array {
  const rank = left.length / rows;
  const sum = Float32Array.from(weight);
  const change = new Float64Array(columns);
  for (let row = 0; row < rows; row += 1) {
    change.fill(0);
    for (let k = 0; k < rank; k += 1) {
      const factor = left[row * rank + k]!;
      const start = k * columns;
      for (let column = 0; column < columns; column += 1) change[column]! += factor * right[start + column]!;
    }
    const start = row * columns;
    for (let column = 0; column < columns; column += 1) sum[start + column]! += scale * change[column]!;
  }
  return sum;
}
