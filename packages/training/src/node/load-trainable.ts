// Loads a model folder for training.
import { readEncoder, type EncoderDefinition } from '@sentvec/architectures';
import {
  classificationHeadLayers,
  lateReading,
  memoryModel,
  pairTokenizerOf,
  promptNameFor,
  headOutputSize,
  readJson,
  readModelFolder,
  readModelKind,
  readMultiVectorFolder,
  readRoutes,
  readRerankerFolder,
  readSparseFolder,
  roleTokenizer,
  readTokenizerDefinition,
  refuseTokensWithoutWeights,
  SentvecError,
  subfolder,
  withTask,
  writeSafetensors,
  type Activation,
  type Encoder,
  type ModelFiles,
  type ModelFolder,
  type ModelKind,
  type ModelModule,
  type RerankerFolder,
  type TextRole,
  type Tokenizer,
} from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { withFreshScores, withTermWeights, withTokenVectors } from '../from-scratch/fresh-head.ts';
import { fixedTensors, trainableTensors } from '../step/record-step.ts';
import type { TrainableModel, TrainableRoute } from '../step/siamese.ts';
import { projectionModules } from '../trained-model.ts';
import type { RoleReader, TextReader } from '../data/tokenized-sets.ts';

/** A model folder that is loaded for training. */
export interface LoadedTrainable {
  readonly kind: ModelKind;
  readonly files: ModelFiles;
  readonly folder: ModelFolder;
  readonly model: TrainableModel;
  readonly reader: TextReader;
  /** Dimension of a vector; for a reranker, the number of labels. */
  readonly dimension: number;
  /** For a reranker: the names of its labels, in order. */
  readonly labels?: readonly string[] | undefined;
  /** For a reranker: the activation that turns its logits into scores in inference. */
  readonly activation?: Activation | undefined;
  /**
   * Tensors of the head that are stored in the encoder's file: their names in training, mapped to those in the file.
   */
  readonly headTensors?: ReadonlyMap<string, string> | undefined;
  /** Hash of everything that the tokenization of a text depends on. */
  readonly tokenizerHash: string;
  /** For a model with a Router: the folder of each route, by name. */
  readonly routes?: Readonly<Record<string, ModelFolder>> | undefined;
}

/** Options of {@link loadTrainable}. */
export interface LoadTrainableOptions {
  /**
   * The kind of model to train. An embedder or a plain encoder gets a new head for another kind.
   * @default 'embedder'
   */
  readonly kind?: ModelKind | undefined;
  /** Texts are truncated to this many tokens. @default the maximum length of the model */
  readonly maxLength?: number | undefined;
  /** For a model with task adapters: the task whose adapter is merged into the weights before training. */
  readonly task?: string | undefined;
  /** For a new head of a reranker: the names of its labels. @default one label */
  readonly labels?: readonly string[] | undefined;
  /** Seed of the random weights of a new head. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * Loads a sentence-transformers folder for training.
 * @throws SentvecError the errors of `loadEmbedder`; `invalid-model` for a folder without `model.safetensors`;
 * `unsupported-model` for a model that is of another kind than `kind`
 */
export async function loadTrainable(model: ModelFiles, options: LoadTrainableOptions = {}): Promise<LoadedTrainable> {
  const { kind = 'embedder' } = options;
  const files = options.task === undefined ? model : await withTask(model, options.task);
  const found = await readModelKind(files);
  if (found !== kind && found !== 'embedder')
    throw new SentvecError(
      'unsupported-model',
      `${files.name} is a model of the kind ${found}, but the training is for the kind ${kind}. Set "kind": "${found}" in the configuration, or use another model.`,
      { file: files.name, kind: found },
    );
  return loaders[kind](files, found, options);
}

type Loader = (files: ModelFiles, found: ModelKind, options: LoadTrainableOptions) => Promise<LoadedTrainable>;

const loaders: Readonly<Record<ModelKind, Loader>> = {
  embedder: (files, _, options) => loadEmbedderForTraining(files, options),
  reranker: loadRerankerForTraining,
  sparse: loadSparseForTraining,
  'multi-vector': loadMultiVectorForTraining,
};

async function loadEmbedderForTraining(files: ModelFiles, options: LoadTrainableOptions): Promise<LoadedTrainable> {
  const routes = await readRoutes(files);
  if (routes !== undefined) return loadRouterForTraining(files, routes, options);
  return loadRouteForTraining(files, await readModelFolder(files), options);
}

/** Loads each route of a model with a Router like a separate model. Modules after the Router belong to all routes. */
async function loadRouterForTraining(
  files: ModelFiles,
  modules: Readonly<Record<string, readonly ModelModule[]>>,
  options: LoadTrainableOptions,
): Promise<LoadedTrainable> {
  const tasks = new Map<string | undefined, ModelFolder>();
  const problems = new Map<string | undefined, unknown>();
  for (const task of [undefined, 'query', 'document', ...Object.keys(modules)]) {
    try {
      tasks.set(task, await readModelFolder(files, { route: task }));
    } catch (error) {
      if (!SentvecError.is(error) || error.code !== 'invalid-argument') throw error;
      problems.set(task, error);
    }
  }
  const folders = new Map([...tasks.values()].map((folder) => [folder.route!, folder]));
  const loaded = new Map<string, LoadedTrainable>();
  for (const [route, folder] of folders) loaded.set(route, await loadRouteForTraining(files, folder, options));
  const [first] = loaded.values();
  checkDimensions(files, loaded);
  const routeOf = (task: string | undefined): string => {
    const found = tasks.get(task)?.route;
    if (found !== undefined) return found;
    throw (
      problems.get(task) ??
      new SentvecError(
        'invalid-argument',
        `${files.name} has no route for "${task}". Its routes: ${Object.keys(modules).join(', ')}.`,
      )
    );
  };
  const { model, reader, dimension, folder } = loaded.get(tasks.get(undefined)?.route ?? '') ?? first!;
  const readers = Object.fromEntries([...loaded].map(([route, each]) => [route, each.reader]));
  const trainable = [...loaded].map(([route, each]): [string, TrainableRoute] => [
    route,
    { model: each.model, names: namesInModel(each, modules[route]!) },
  ]);
  return {
    kind: 'embedder',
    files,
    folder,
    model: { ...model, routes: Object.fromEntries(trainable) },
    reader: { ...reader, router: { readers, routeOf } },
    dimension,
    tokenizerHash: [...loaded.values()].map(({ tokenizerHash }) => tokenizerHash).join(),
    routes: Object.fromEntries(folders),
  };
}

function checkDimensions({ name }: ModelFiles, loaded: ReadonlyMap<string, LoadedTrainable>): void {
  const dimensions = new Set([...loaded.values()].map(({ dimension }) => dimension));
  if (dimensions.size < 2) return;
  const each = [...loaded].map(([route, { dimension }]) => `${route} ${dimension}`).join(', ');
  throw new SentvecError(
    'unsupported-model',
    `The routes of ${name} give vectors of different dimensions, which losses cannot compare: ${each}.`,
    { file: name },
  );
}

/** Maps the names of a route's tensors to names in the whole model, which begin with the folder of their module. */
function namesInModel(
  { model, folder: { encoderPath } }: LoadedTrainable,
  modules: readonly ModelModule[],
): ReadonlyMap<string, string> {
  const projections = projectionModules(modules);
  const nameOf = (name: string): string => {
    const module = projections.find((each) => name.startsWith(`${each.name}.`));
    if (module !== undefined) return module.path + name.slice(module.name.length);
    return encoderPath === '' ? name : `${encoderPath}/${name}`;
  };
  return new Map([...trainableTensors(model), ...fixedTensors(model)].map(({ name }) => [name, nameOf(name)]));
}

async function loadRouteForTraining(
  files: ModelFiles,
  folder: ModelFolder,
  options: LoadTrainableOptions,
): Promise<LoadedTrainable> {
  const definition = folder.staticEncoder
    ? await staticDefinition(folder.staticEncoder)
    : await readEncoder(folder.encoderFiles);
  const { tokenizer, tokenization } = await tokenizerOf(files, folder, definition);
  const { head } = folder;
  return {
    kind: 'embedder',
    files,
    folder,
    model: { definition, head },
    reader: readerOf(folder, definition, tokenizer, options),
    dimension: headOutputSize(head, definition.hiddenSize),
    tokenizerHash: tokenization.hash,
  };
}

async function loadRerankerForTraining(
  model: ModelFiles,
  found: ModelKind,
  options: LoadTrainableOptions,
): Promise<LoadedTrainable> {
  const { labels: wanted, seed } = options;
  const files = found === 'reranker' ? model : await withFreshScores(model, { labels: wanted, seed });
  const folder = await readRerankerFolder(files, async () => undefined);
  if (folder.chat !== undefined)
    throw new SentvecError(
      'unsupported-model',
      `${files.name} is a language model that scores pairs by the logits of two tokens. sentvec cannot train it. Train a reranker with a classification head.`,
      { file: files.name },
    );
  const definition = await readEncoder(folder.encoderFiles);
  const { tokenizer, tokenization } = await tokenizerOf(files, folder, definition);
  const reader = readerOf(folder, definition, tokenizer, options);
  const { prompts, defaultPrompt, head, labels } = folder;
  const prompt = defaultPrompt === undefined ? '' : (prompts[defaultPrompt] ?? '');
  return {
    kind: 'reranker',
    files,
    folder,
    model: { definition, head, pairs: true },
    reader: {
      ...reader,
      pairs: { tokenize: await pairTokenizerOf(folder, tokenizer, tokenization, files.name), prompt },
    },
    dimension: labels.length,
    labels,
    activation: folder.activation,
    headTensors: await headTensorsOf(files, folder),
    tokenizerHash: tokenization.hash,
  };
}

async function loadSparseForTraining(
  model: ModelFiles,
  found: ModelKind,
  options: LoadTrainableOptions,
): Promise<LoadedTrainable> {
  const files = found === 'sparse' ? model : await withTermWeights(model);
  const { routes, prompts, defaultPrompt, similarityFunction } = await readSparseFolder(files);
  const { query, document } = routes;
  if (query.kind === 'table' || document.kind === 'table' || query.path !== document.path)
    throw new SentvecError(
      'unsupported-model',
      `${files.name} has different encoders for queries and documents, but training supports only one encoder for both. Use such a model.`,
      { file: files.name },
    );
  const plain = await readModelFolder(document.files);
  const encoder = { encoderPath: document.path, encoderFiles: subfolder(files, document.path) };
  const folder = { ...plain, ...encoder, prompts, defaultPrompt, similarityFunction };
  const definition = await readEncoder(document.files);
  const { tokenizer, tokenization } = await tokenizerOf(files, folder, definition);
  const reader = readerOf(folder, definition, tokenizer, options);
  const roleOf = (role: TextRole): RoleReader => {
    const name = promptNameFor(role, prompts, defaultPrompt);
    return { tokenizer, maxLength: reader.maxLength, prompt: name === undefined ? '' : (prompts[name] ?? '') };
  };
  return {
    kind: 'sparse',
    files,
    folder,
    model: { definition, head: folder.head },
    reader: { ...reader, roles: { query: roleOf('query'), document: roleOf('document') } },
    dimension: document.dimension,
    tokenizerHash: tokenization.hash,
  };
}

async function loadMultiVectorForTraining(
  model: ModelFiles,
  found: ModelKind,
  options: LoadTrainableOptions,
): Promise<LoadedTrainable> {
  const files = found === 'multi-vector' ? model : await withTokenVectors(model, { seed: options.seed });
  const folder = await readMultiVectorFolder(files);
  const definition = await readEncoder(folder.encoderFiles);
  const { tokenizer, tokenization } = await tokenizerOf(files, folder, definition);
  const { maxPositions, hiddenSize } = definition;
  const late = lateReading(folder, tokenization, { maxPositions });
  const { prompts, head } = folder;
  const roleOf = (role: TextRole): RoleReader => ({
    tokenizer: roleTokenizer({ tokenizer, ...late }, role),
    maxLength: Math.min(late.lengths[role], options.maxLength ?? Infinity),
    prompt: prompts[role] ?? '',
  });
  const isModular = (await files.list()).includes('modules.json');
  return {
    kind: 'multi-vector',
    files,
    folder,
    model: { definition, head },
    reader: {
      ...readerOf(folder, definition, tokenizer, options),
      roles: { query: roleOf('query'), document: roleOf('document') },
    },
    dimension: headOutputSize(head, hiddenSize),
    // Stanford's ColBERT format stores the projection in the encoder's file.
    headTensors: isModular ? undefined : new Map([['projection.0.weight', 'linear.weight']]),
    tokenizerHash: tokenization.hash,
  };
}

/** See {@link LoadedTrainable.headTensors}. A reranker with several modules has separate files for its head layers. */
async function headTensorsOf(files: ModelFiles, folder: RerankerFolder): Promise<ReadonlyMap<string, string>> {
  const modules = await readJson(files, 'modules.json');
  if (Array.isArray(modules) && modules.length > 1) return new Map();
  const layers = await classificationHeadLayers(folder.encoderFiles);
  return new Map(
    layers.flatMap(({ weight, bias }, index) =>
      Object.entries({ weight, bias }).flatMap(([part, name]) =>
        name === undefined ? [] : [[`projection.${index}.${part}`, name] as const],
      ),
    ),
  );
}

async function tokenizerOf(files: ModelFiles, folder: ModelFolder, definition: EncoderDefinition) {
  const { lowerCase: lowercase, markers } = folder;
  const tokenization = await readTokenizerDefinition(folder.encoderFiles, { lowercase, markers });
  const loaded = await nodeTokenizer()(tokenization);
  const tokenizer = refuseTokensWithoutWeights(loaded, tokenization, definition.vocabularySize, files.name);
  return { tokenizer, tokenization };
}

function readerOf(
  { maxLength, addSpecialTokens, head }: ModelFolder,
  { maxPositions }: EncoderDefinition,
  tokenizer: Tokenizer,
  options: LoadTrainableOptions,
): TextReader {
  const most = Math.min(options.maxLength ?? maxLength ?? Infinity, maxPositions);
  return { tokenizer, maxLength: most, addSpecialTokens, pooling: head.pooling };
}

/** Represents a static embedding as an encoder network, whose weight is the embedding table. */
async function staticDefinition(encoder: Encoder): Promise<EncoderDefinition> {
  const ids = Int32Array.from({ length: encoder.vocabularySize ?? 0 }, (_, id) => id);
  const { data, rows, cols } = await encoder.encode({
    ids,
    mask: new Int32Array(ids.length).fill(1),
    rows: ids.length,
    cols: 1,
  });
  const config = { model_type: 'static-embedding', vocab_size: rows, hidden_size: cols };
  const files = {
    'config.json': JSON.stringify(config),
    'model.safetensors': writeSafetensors({ 'embedding.weight': { shape: [rows, cols], data } }),
  };
  return await readEncoder(memoryModel('static embedding', files));
}
