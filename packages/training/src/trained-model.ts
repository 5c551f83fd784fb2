// Writes the folder of a trained model: files copied from the base model, and the trained weights.
import { readEncoder, recordEncoder } from '@sentvec/architectures';
import {
  memoryModel,
  readJsonObject,
  readModelFolder,
  readModules,
  readRoutes,
  readWeights,
  SentvecError,
  subfolder,
  writeSafetensors,
  type EncoderPart,
  type ModelFiles,
  type ModelKind,
  type ModelModule,
  type WritableTensor,
} from '@sentvec/core';
import type { TrainingState } from './engine.ts';
import { configLike, licenceFiles, tokenizerFiles } from './from-scratch/fresh-head.ts';
import type { ParameterSlot } from './optimizer/parameters.ts';
import { mergedWeights } from './step/lora.ts';
import type { TrainableModel, TrainableRoute } from './step/siamese.ts';

/** The contents of files, by their path in the model folder. */
export type FileContents = Readonly<Record<string, Uint8Array>>;

/** Trained weights, by the name of their tensor. */
export type TrainedWeights = ReadonlyMap<string, Float32Array>;

/** Splits the flat buffer of a state into the weights of each tensor, as views. */
export function trainedWeights(
  slots: readonly ParameterSlot[],
  { weights }: Pick<TrainingState, 'weights'>,
): TrainedWeights {
  return new Map(slots.map(({ name, offset, size }) => [name, weights.subarray(offset, offset + size)]));
}

/** Options of {@link trainedModelFiles}. Models that are not embedders need them. */
export interface TrainedFilesOptions {
  /** @default 'embedder' */
  readonly kind?: ModelKind | undefined;
  /** The location of the encoder. @default read from the folder, as for an embedder */
  readonly folder?: EncoderPart | undefined;
  /**
   * Tensors of the head that are stored in the encoder's file: their names in training, mapped to those in the file.
   * @default none
   */
  readonly headTensors?: ReadonlyMap<string, string> | undefined;
}

/**
 * The files of a trained model, for all of its routes. Written anew: the encoder's `model.safetensors`, the weights of
 * dense and layer-norm modules, and for embedders `onnx/model.onnx`. Adapters are merged into the weights. Copied:
 * configuration, tokenizer, modules, custom code and licence. All other files are left out, because they may depend on
 * the old weights: other formats and quantizations, the self-check, evaluation results, the model card.
 */
export async function trainedModelFiles(
  files: ModelFiles,
  model: TrainableModel,
  trained: TrainedWeights,
  options: TrainedFilesOptions = {},
): Promise<FileContents> {
  const contents = await filesAroundEncoder(files, trained);
  if (model.routes === undefined) {
    const folder = options.folder ?? (await readModelFolder(files));
    await addEncoder(contents, files, model, trained, { ...options, folder });
    return contents;
  }
  for (const [route, { model: ofRoute, names }] of Object.entries(model.routes)) {
    const folder = await readModelFolder(files, { route });
    await addEncoder(contents, files, ofRoute, weightsOfRoute(names, trained), { folder });
  }
  await addOtherRoutes(contents, files, model.routes);
  return contents;
}

/** The trained weights of a route, by their names within the route. */
function weightsOfRoute(names: TrainableRoute['names'], trained: TrainedWeights): TrainedWeights {
  return new Map(
    [...names].flatMap(([name, all]) => {
      const numbers = trained.get(all);
      return numbers === undefined ? [] : [[name, numbers] as const];
    }),
  );
}

/** Copies the modules of routes that are not trained. */
async function addOtherRoutes(
  contents: Record<string, Uint8Array>,
  files: ModelFiles,
  routes: NonNullable<TrainableModel['routes']>,
): Promise<void> {
  const all = (await readRoutes(files)) ?? {};
  const known = new Set(
    Object.entries(all).flatMap(([name, modules]) => (name in routes ? modules.map(({ path }) => path) : [])),
  );
  const others = Object.values(all).flatMap((modules) => modules.filter(({ path }) => !known.has(path)));
  for (const path of await files.list())
    if (others.some((module) => path.startsWith(`${module.path}/`))) contents[path] ??= await files.read(path);
}

/** Adds the encoder with its trained weights. */
async function addEncoder(
  contents: Record<string, Uint8Array>,
  files: ModelFiles,
  model: TrainableModel,
  trained: TrainedWeights,
  options: TrainedFilesOptions & { readonly folder: EncoderPart },
): Promise<void> {
  const { folder } = options;
  const prefix = folder.encoderPath === '' ? '' : `${folder.encoderPath}/`;
  const config = await floatConfig(folder.encoderFiles);
  if (config !== undefined) contents[`${prefix}config.json`] = config;
  else if (folder.encoder === 'transformer')
    // If the folder is an adapter, config.json is in the folder of its base model.
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
}

/** All files of a trained model except the encoder's weights. */
export async function filesAroundEncoder(
  files: ModelFiles,
  trained: TrainedWeights,
): Promise<Record<string, Uint8Array>> {
  const routes = await readRoutes(files);
  const modules = routes === undefined ? ((await readModules(files)) ?? []) : Object.values(routes).flat();
  const folders = new Set(['', ...modules.map(({ path }) => path)]);
  const contents: Record<string, Uint8Array> = {};
  for (const path of await files.list()) {
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (folders.has(path.slice(0, Math.max(0, slash))) && carriedFiles.some((names) => names.test(name)))
      contents[path] = await files.read(path);
  }
  for (const { path, name } of projectionModules(modules)) {
    const ofModule = routes === undefined ? name : path;
    contents[`${path}/model.safetensors`] = await moduleWeights(subfolder(files, path), ofModule, trained);
  }
  return contents;
}

/** Names of files that do not depend on the weights, so they are copied. */
const carriedFiles: readonly RegExp[] = [
  /^(modules|config|config_sentence_transformers|sentence_\w+_config|router_config)\.json$/,
  ...tokenizerFiles,
  /^(modeling|configuration|tokenization|custom)_\w+\.py$/,
  /^artifact\.metadata$/,
  licenceFiles,
];

/**
 * The encoder's `config.json`, changed to float32 without quantization and without task adapters, because the written
 * weights are float32 with the adapter merged in. `undefined` if nothing needs to change.
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

/**
 * Writes the embedding table under its original name. The token mapping and token weights of model2vec are merged into
 * it.
 */
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

/**
 * The folders of projection modules with weights, and the prefix of their tensor names in training. With a Router, the
 * prefix is the folder, because routes share modules.
 */
export function projectionModules(modules: readonly ModelModule[]): { readonly path: string; readonly name: string }[] {
  return modules
    .filter(({ kind }) => /^(Dense|LayerNorm|Normalize)$/.test(kind))
    .flatMap(({ kind, path }, index) => (kind === 'Normalize' ? [] : [{ path, name: `projection.${index}` }]));
}

/** The names of a projection's tensors in sentence-transformers. */
const storedNames = new Map([
  ['linear.weight', 'weight'],
  ['linear.bias', 'bias'],
  ['residual.weight', 'residualWeight'],
  ['norm.weight', 'weight'],
  ['norm.bias', 'bias'],
]);

async function moduleWeights(files: ModelFiles, module: string, trained: TrainedWeights): Promise<Uint8Array> {
  const stored = await readWeights(files);
  const tensors = stored.names().map((name): [string, WritableTensor] => {
    const part = storedNames.get(name);
    if (part === undefined)
      throw new SentvecError(
        'invalid-model',
        `${files.name} has an unknown tensor "${name}". A projection has the tensors ${[...storedNames.keys()].join(', ')}.`,
        {
          file: files.name,
        },
      );
    const { shape, data } = stored.tensor(name);
    return [name, { shape, data: trained.get(`${module}.${part}`) ?? data }];
  });
  return writeSafetensors(Object.fromEntries(tensors), { format: 'pt' });
}
