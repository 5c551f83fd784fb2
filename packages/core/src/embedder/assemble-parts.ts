/** Reads the four parts of a model from its folder, loads them, and checks that they fit together. */
import { warn } from '@sentvec/platform';
import type { Encoder, LoadOptions } from '../backend.ts';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { readConfigFile } from '../model-folder/config-file.ts';
import { listedOnce, withCachedWeights } from '../model-folder/model-files.ts';
import type { ModelFolder } from '../model-folder/read-model-folder.ts';
import { outputSize } from '../projection/head.ts';
import { checkEncoder } from '../self-check/self-check.ts';
import { readStoredSelfCheck } from '../self-check/stored-self-check.ts';
import { readTokenizerDefinition, type TokenizerDefinition } from '../tokenizer/definition.ts';
import { javaScriptTokenizer } from '../tokenizer/javascript-tokenizer.ts';
import { specialTokensOfPair } from '../tokenizer/pair-template.ts';
import { checkVocabulary, refuseTokensWithoutWeights } from '../tokenizer/tokens-without-weights.ts';
import type { ModelFiles, SelfCheckResult, Tokenizer } from '../types.ts';
import { invalidWeightsError } from '../weights/unsound-weights.ts';
import { checkBackendVersion } from './backend-version.ts';
import type { EmbedderParts } from './embedder-types.ts';
import type { LoadEmbedderOptions } from './load-embedder.ts';

/** Options of the loaders of all kinds of models. */
type LoadPartsOptions = LoadEmbedderOptions & Pick<LoadOptions, 'pairs'>;

/** A model's parts, with the folder and the tokenizer definition that they were loaded from. */
export interface AssembledModel<Folder extends ModelFolder> {
  readonly folder: Folder;
  readonly definition: TokenizerDefinition;
  readonly parts: EmbedderParts;
}

/**
 * Loads tokenizer and encoder of a model of any kind, and checks them against the configuration in its folder.
 * @param read reads the folder
 * @throws SentvecError as `loadEmbedder`
 */
export async function loadModelParts<Folder extends ModelFolder>(
  model: ModelFiles,
  options: LoadPartsOptions,
  read: (files: ModelFiles, parts: LoadingParts) => Promise<Folder>,
): Promise<AssembledModel<Folder>> {
  checkLoading(options);
  const parts = new LoadingParts(listedOnce(model), options);
  try {
    return await assembleParts(await read(parts.model, parts), parts, options);
  } catch (error) {
    await parts.dispose();
    throw error;
  }
}

/** @throws SentvecError `backend-unavailable` for a backend of another version, `aborted` */
export function checkLoading({ backend, signal }: LoadEmbedderOptions): void {
  if (backend !== undefined) checkBackendVersion(backend);
  throwIfAborted(signal);
}

/** Loads the tokenizer and the encoder that a folder describes, and checks that they fit together. */
export async function assembleParts<Folder extends ModelFolder>(
  folder: Folder,
  parts: LoadingParts,
  options: LoadEmbedderOptions,
): Promise<AssembledModel<Folder>> {
  const { model } = parts;
  const { signal, onWarning = warn } = options;
  const { lowerCase, markers } = folder;
  // The encoder takes longest to load, and may load in a thread of its own, so it starts first.
  const loadingEncoder = folder.staticEncoder ?? parts.loadEncoder(folder.encoderFiles, signal);
  const definition = await readTokenizerDefinition(folder.encoderFiles, { lowercase: lowerCase, markers });
  const configured = await configuredVocabularySize(folder);
  checkVocabulary(definition, configured, model.name);
  throwIfAborted(signal);
  const stored = readStoredSelfCheck(folder.encoderFiles);
  stored.catch(() => {}); // The self-check awaits this promise later and throws its error.
  const [encoder, loadedTokenizer] = await Promise.all([loadingEncoder, parts.loadTokenizer(definition)]);
  throwIfAborted(signal);
  const vocabularySize = encoder.vocabularySize ?? configured;
  const tokenizer = refuseTokensWithoutWeights(loadedTokenizer, definition, vocabularySize, model.name);
  checkSizes(model, folder, encoder);
  const template = folder.pairs ? definition.pairTemplate : undefined;
  const { prefix, suffix } = tokenizer.specialTokens;
  const specialTokensOfText = folder.addSpecialTokens ? prefix.length + suffix.length : 0;
  const specialTokenCount = template === undefined ? specialTokensOfText : specialTokensOfPair(template).count;
  const { maxLength, notes } = chooseMaxLength(model, folder, encoder, specialTokenCount, options.maxLength);
  for (const note of folder.notes) onWarning(note);
  const usesTypeIds = template?.some(({ typeId }) => typeId !== 0);
  const selfCheck = await checkBackend(
    folder,
    { encoder, tokenizer, vocabularySize, usesTypeIds, stored },
    parts,
    options,
  );
  const task = await taskOf(folder, options.task);
  const loaded: EmbedderParts = {
    model,
    tokenizer,
    encoder,
    backend: folder.staticEncoder ? undefined : options.backend?.name,
    head: folder.head,
    headSource: folder.headSource,
    maxLength,
    addSpecialTokens: folder.addSpecialTokens,
    prompts: folder.prompts,
    defaultPrompt: folder.defaultPrompt,
    truncateDim: folder.truncateDim,
    similarityFunction: folder.similarityFunction,
    route: folder.route,
    task,
    encoderFiles: folder.encoderFiles,
    tokenizerHash: definition.hash,
    selfCheck,
    onReceipt: options.onReceipt,
    notes: [...folder.notes, ...notes, ...(await taskNotes(folder, task))],
  };
  return { folder, definition, parts: loaded };
}

/** The task whose adapter is in the weights. */
async function taskOf({ encoder, encoderFiles }: ModelFolder, chosen: string | undefined): Promise<string | undefined> {
  if (chosen !== undefined || encoder === 'static') return chosen;
  return (await readConfigFile(encoderFiles, 'config.json'))?.string('default_task');
}

async function taskNotes({ encoderFiles }: ModelFolder, task: string | undefined): Promise<readonly string[]> {
  if (task !== undefined) return [`The adapter of the task "${task}" is merged into the weights.`];
  const tasks = await tasksWithAdapters(encoderFiles);
  if (tasks.length === 0) return [];
  return [
    `${encoderFiles.name} has adapters for the tasks ${tasks.join(', ')}. None was chosen, so the weights are those that all tasks share; set "task" to choose one.`,
  ];
}

/** The tasks that a model has adapters for. Most models have none. */
export async function tasksWithAdapters(files: ModelFiles): Promise<readonly string[]> {
  const inFolders = (await files.list()).some((path) => path.endsWith('/adapter_config.json'));
  const config = await readConfigFile(files, 'config.json');
  if (config?.values['lora_adaptations'] === undefined && !inFolders) return [];
  const { tasksOf } = await import('../weights/task-adapters.ts');
  return tasksOf(files);
}

/** Encoders and tokenizers that are loaded or still loading. All routes of a model share them. */
export class LoadingParts {
  readonly model: ModelFiles;
  readonly #options: LoadPartsOptions;
  /** Keyed by the name of the encoder's files. */
  readonly #encoders = new Map<string, Promise<Encoder>>();
  readonly #files = new Map<string, ModelFiles>();
  /** Keyed by the hash of the tokenizer's definition. */
  readonly #tokenizers = new Map<string, Promise<Tokenizer>>();
  #disposed = false;

  constructor(model: ModelFiles, options: LoadPartsOptions) {
    this.model = model;
    this.#options = options;
  }

  /** The files of an encoder. Its weights are cached, so that they are read once. */
  filesOf(encoderFiles: ModelFiles): ModelFiles {
    const files = this.#files.get(encoderFiles.name) ?? withCachedWeights(encoderFiles);
    this.#files.set(encoderFiles.name, files);
    return files;
  }

  loadEncoder(encoderFiles: ModelFiles, signal: AbortSignal | undefined): Promise<Encoder> {
    const { backend, pairs, onWarning } = this.#options;
    if (backend === undefined)
      throw new SentvecError(
        'invalid-argument',
        `The model ${encoderFiles.name} needs a backend to run its encoder; pass one, for example onnx() of @sentvec/backend-onnx.`,
      );
    this.#checkAlive();
    return loadOnce(this.#encoders, encoderFiles.name, async () =>
      backend.load(this.filesOf(encoderFiles), { pairs, signal, onWarning }),
    );
  }

  loadTokenizer(definition: TokenizerDefinition): Promise<Tokenizer> {
    const { tokenizer: load = javaScriptTokenizer } = this.#options;
    this.#checkAlive();
    return loadOnce(this.#tokenizers, definition.hash, async () => load(definition));
  }

  /** Refuses to load parts after `dispose`, since nothing would dispose them. @throws SentvecError `disposed` */
  #checkAlive(): void {
    if (this.#disposed)
      throw new SentvecError(
        'disposed',
        `${this.model.name} was disposed while it was loading. Load it again to use it.`,
      );
  }

  /** Disposes all parts, including those that are still loading. Later calls that load a part fail. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    const loaded = await Promise.allSettled([...this.#encoders.values(), ...this.#tokenizers.values()]);
    await Promise.all(loaded.map(async (part) => part.status === 'fulfilled' && part.value.dispose()));
  }
}

/** Loads each key once, and tries again after a failure. */
export function loadOnce<K, T>(loaded: Map<K, Promise<T>>, key: K, load: () => Promise<T>): Promise<T> {
  const known = loaded.get(key);
  if (known !== undefined) return known;
  const loading = load();
  loaded.set(key, loading);
  loading.catch(() => loaded.delete(key));
  return loading;
}

interface LoadedParts {
  readonly encoder: Encoder;
  readonly tokenizer: Tokenizer;
  readonly vocabularySize: number | undefined;
  /** See `SelfCheckSubject`. */
  readonly usesTypeIds: boolean | undefined;
  readonly stored: ReturnType<typeof readStoredSelfCheck>;
}

/** Runs the self-check. Static embeddings have none: core computes them itself, so there is no backend to check. */
async function checkBackend(
  { encoderFiles, head, addSpecialTokens, staticEncoder }: ModelFolder,
  loaded: LoadedParts,
  parts: LoadingParts,
  { backend, selfCheck = true, signal, onWarning = warn }: LoadEmbedderOptions,
): Promise<SelfCheckResult | undefined> {
  if (!selfCheck || backend === undefined || staticEncoder !== undefined) return undefined;
  const files = parts.filesOf(encoderFiles);
  try {
    return await checkEncoder({ ...loaded, backend, files, head, addSpecialTokens, signal, onWarning });
  } catch (error) {
    // Wrong vectors may come from broken weights (NaN, huge values) rather than from the backend: report those instead.
    throw (SentvecError.is(error, 'backend-wrong') && (await invalidWeightsError(files, head))) || error;
  }
}

async function configuredVocabularySize({ encoder, encoderFiles }: ModelFolder): Promise<number | undefined> {
  if (encoder === 'static') return undefined;
  return (await readConfigFile(encoderFiles, 'config.json'))?.size('vocab_size');
}

/** Checks the sizes in the configuration against those of the weights. @throws SentvecError `invalid-model` */
function checkSizes(model: ModelFiles, { hiddenSize, head, truncateDim }: ModelFolder, encoder: Encoder): void {
  if (hiddenSize !== undefined && encoder.hiddenSize !== hiddenSize) {
    throw new SentvecError(
      'invalid-model',
      `The encoder of ${model.name} gives ${encoder.hiddenSize} numbers for a token, but config.json says ${hiddenSize}. An ONNX file that was exported with a head, such as one for masked words, is not an embedder: export it for feature extraction.`,
      { file: 'config.json' },
    );
  }
  const dimension = outputSize(head, encoder.hiddenSize);
  if (truncateDim !== undefined && truncateDim > dimension) {
    throw new SentvecError(
      'invalid-model',
      `config_sentence_transformers.json of ${model.name} sets "truncate_dim" to ${truncateDim}, but its vectors have ${dimension} entries.`,
      { file: 'config_sentence_transformers.json' },
    );
  }
}

/**
 * The maximum length: the caller's; otherwise the folder's, limited to the encoder's positions; otherwise all
 * positions.
 * @param specialTokenCount number of special tokens that are added to a text or to a pair of texts
 */
function chooseMaxLength(
  model: ModelFiles,
  folder: ModelFolder,
  encoder: Encoder,
  specialTokenCount: number,
  wanted: number | undefined,
): { readonly maxLength: number; readonly notes: readonly string[] } {
  const configuredLength = folder.maxLength ?? Infinity;
  const maxLength = wanted ?? Math.min(configuredLength, encoder.maxPositions);
  if (maxLength <= specialTokenCount) {
    throw new SentvecError(
      wanted === undefined ? 'invalid-model' : 'invalid-argument',
      `${model.name} reads at most ${maxLength} tokens, and its special tokens take ${specialTokenCount}: there is no room for a text.`,
    );
  }
  if (wanted !== undefined || configuredLength <= encoder.maxPositions || configuredLength === Infinity)
    return { maxLength, notes: [] };
  return {
    maxLength,
    notes: [
      `The model's configuration allows texts of up to ${configuredLength} tokens, but its encoder has positions for ${maxLength}; longer texts are truncated to that.`,
    ],
  };
}
