// The folder of a trained model: the files that are carried over, and the trained weights in each form that is written.
import { readEncoder, recordEncoder } from '@sentvec/architectures';
import {
  memoryModel,
  readJson,
  readJsonObject,
  readModelFolder,
  readWeights,
  SentvecError,
  subfolder,
  writeSafetensors,
  type EncoderPart,
  type ModelFiles,
  type ModelKind,
  type WritableTensor,
} from '@sentvec/core';
import type { TrainingState } from './engine.ts';
import { configLike, licenceFiles, tokenizerFiles } from './from-scratch/fresh-head.ts';
import type { ParameterSlot } from './optimizer/parameters.ts';
import { mergedWeights } from './step/lora.ts';
import type { TrainableModel } from './step/siamese.ts';

/** Files by their path in the model. */
export type FileContents = Readonly<Record<string, Uint8Array>>;

/** Trained numbers by the name of their tensor. */
export type TrainedWeights = ReadonlyMap<string, Float32Array>;

/** The numbers of each tensor from the flat buffer of a state; views. */
export function trainedWeights(
  slots: readonly ParameterSlot[],
  { weights }: Pick<TrainingState, 'weights'>,
): TrainedWeights {
  return new Map(slots.map(({ name, offset, size }) => [name, weights.subarray(offset, offset + size)]));
}

/** Options of {@link trainedModelFiles}, for models that are not embedders. */
export interface TrainedFilesOptions {
  /** @default 'embedder' */
  readonly kind?: ModelKind | undefined;
  /** Where the encoder is. @default what the folder of an embedder says */
  readonly folder?: EncoderPart | undefined;
  /** Tensors of the head that are stored among the encoder's, by their names in training. @default none */
  readonly headTensors?: ReadonlyMap<string, string> | undefined;
}

/**
 * The files of a model with trained weights: the encoder's `model.safetensors`, the weights of dense and layer-norm
 * modules, and for embedders `onnx/model.onnx`, recorded again. Adapters are merged into the weights. Configuration,
 * tokenizer, modules, custom code and licence are carried over. Nothing else is, because it may describe the old
 * weights: other forms and quantizations of them, a self-check, results of evaluations, the model card.
 */
export async function trainedModelFiles(
  files: ModelFiles,
  model: TrainableModel,
  trained: TrainedWeights,
  options: TrainedFilesOptions = {},
): Promise<FileContents> {
  const folder = options.folder ?? (await readModelFolder(files));
  const prefix = folder.encoderPath === '' ? '' : `${folder.encoderPath}/`;
  const contents = await filesAroundEncoder(files, trained);
  const config = await floatConfig(folder.encoderFiles);
  if (config !== undefined) contents[`${prefix}config.json`] = config;
  else if (folder.encoder === 'transformer')
    // That of an adapter's base model is not among the folder's own files.
    contents[`${prefix}config.json`] = await folder.encoderFiles.read('config.json');
  const weights = folder.encoder === 'static' ? staticWeights : encoderWeights;
  contents[`${prefix}model.safetensors`] = await weights(
    folder.encoderFiles,
    model,
    mergedWeights(model, trained),
    options.headTensors,
  );
  if (folder.encoder === 'transformer' && (options.kind ?? 'embedder') === 'embedder') {
    const definition = await readEncoder(subfolder(memoryModel(files.name, contents), folder.encoderPath));
    contents[`${prefix}onnx/model.onnx`] = recordEncoder(definition);
  }
  return contents;
}

/** All files of a model's folder except the encoder's weights, with the trained weights of its other modules. */
export async function filesAroundEncoder(
  files: ModelFiles,
  trained: TrainedWeights,
): Promise<Record<string, Uint8Array>> {
  const modules = await readModules(files);
  const folders = new Set(['', ...modules.map(({ path }) => path)]);
  const contents: Record<string, Uint8Array> = {};
  for (const path of await files.list()) {
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (folders.has(path.slice(0, Math.max(0, slash))) && carriedFiles.some((names) => names.test(name)))
      contents[path] = await files.read(path);
  }
  for (const [path, index] of projectionModules(modules))
    contents[`${path}/model.safetensors`] = await moduleWeights(subfolder(files, path), index, trained);
  return contents;
}

/** Names of the files that stay as they are when weights change. */
const carriedFiles: readonly RegExp[] = [
  /^(modules|config|config_sentence_transformers|sentence_\w+_config|router_config)\.json$/,
  ...tokenizerFiles,
  /^(modeling|configuration|tokenization|custom)_\w+\.py$/,
  /^artifact\.metadata$/,
  licenceFiles,
];

/**
 * The encoder's `config.json`, where it says that the weights are quantized, in half precision, or have adapters for
 * tasks: those that are written are float32, with the adapter merged in. `undefined`: it may stay as it is.
 */
async function floatConfig(files: ModelFiles): Promise<Uint8Array | undefined> {
  const config = await readJsonObject(files, 'config.json');
  if (config === undefined) return undefined;
  const { quantization_config: _, default_task: __, ...rest } = config;
  const changed: Record<string, unknown> = { ...rest };
  for (const key of ['dtype', 'torch_dtype']) if (typeof rest[key] === 'string') changed[key] = 'float32';
  if (rest['lora_adaptations'] !== undefined) changed['load_trained_adapters'] = false;
  return JSON.stringify(changed) === JSON.stringify(config)
    ? undefined
    : new TextEncoder().encode(await configLike(files, changed));
}

async function encoderWeights(
  files: ModelFiles,
  { definition }: TrainableModel,
  trained: TrainedWeights,
  headTensors: ReadonlyMap<string, string> = new Map(),
): Promise<Uint8Array> {
  const tensors: Record<string, WritableTensor> = {};
  const stored = await readWeights(files);
  for (const name of stored.names().filter((each) => isFloat(stored.type(each)))) tensors[name] = stored.tensor(name);
  for (const [name, shape] of definition.weights) {
    const tensor = { shape, data: trained.get(name) ?? definition.weight(name) };
    for (const storedName of definition.storedNames(name)) tensors[storedName] = tensor;
  }
  for (const [name, storedName] of headTensors) {
    const data = trained.get(name);
    if (data !== undefined) tensors[storedName] = { shape: stored.shape(storedName), data };
  }
  return writeSafetensors(tensors, { format: 'pt' });
}

/** The table under the name it had: a mapping or weights of model2vec are part of it now. */
async function staticWeights(
  files: ModelFiles,
  { definition }: TrainableModel,
  trained: TrainedWeights,
): Promise<Uint8Array> {
  const name = (await readWeights(files)).has('embedding.weight') ? 'embedding.weight' : 'embeddings';
  const table = definition.tokenTable;
  return writeSafetensors(
    { [name]: { shape: definition.weights.get(table)!, data: trained.get(table) ?? definition.weight(table) } },
    { format: 'pt' },
  );
}

function isFloat(type: string): boolean {
  return type.startsWith('F') || type === 'BF16';
}

/** A part of the model, as `modules.json` lists it. */
interface ModuleEntry {
  readonly type: string;
  readonly path: string;
}

async function readModules(files: ModelFiles): Promise<readonly ModuleEntry[]> {
  return ((await readJson(files, 'modules.json')) ?? []) as readonly ModuleEntry[];
}

/** The folders of modules that are projections with weights, with their number among all projections. */
function projectionModules(modules: readonly ModuleEntry[]): [path: string, index: number][] {
  const projections = modules.filter(({ type }) => /\.(Dense|LayerNorm|Normalize)$/.test(type));
  return projections.flatMap(({ type, path }, index) =>
    type.endsWith('.Normalize') ? [] : [[path, index] as [string, number]],
  );
}

/** How sentence-transformers calls the tensors of a projection. */
const storedNames = new Map([
  ['linear.weight', 'weight'],
  ['linear.bias', 'bias'],
  ['residual.weight', 'residualWeight'],
  ['norm.weight', 'weight'],
  ['norm.bias', 'bias'],
]);

async function moduleWeights(files: ModelFiles, index: number, trained: TrainedWeights): Promise<Uint8Array> {
  const stored = await readWeights(files);
  const tensors = stored.names().map((name): [string, WritableTensor] => {
    const part = storedNames.get(name);
    if (part === undefined)
      throw new SentvecError('invalid-model', `${files.name} has a tensor "${name}" that no projection has.`, {
        file: files.name,
      });
    const { shape, data } = stored.tensor(name);
    return [name, { shape, data: trained.get(`projection.${index}.${part}`) ?? data }];
  });
  return writeSafetensors(Object.fromEntries(tensors), { format: 'pt' });
}
