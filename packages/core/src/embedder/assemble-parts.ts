/** The four parts of a model: read from its folder, loaded, and checked against each other. */
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
import { unsoundWeights } from '../weights/unsound-weights.ts';
import { checkBackendVersion } from './backend-version.ts';
import type { EmbedderParts } from './embedder-types.ts';
import type { LoadEmbedderOptions } from './load-embedder.ts';

/** Options of the loaders of all kinds of models. */
type LoadPartsOptions = LoadEmbedderOptions & Pick<LoadOptions, 'pairs'>;

/** A model's parts, with what they were made of. */
export interface AssembledModel<Folder extends ModelFolder> {
  readonly folder: Folder;
  readonly definition: TokenizerDefinition;
  readonly parts: EmbedderParts;
}

/**
 * Loads tokenizer and encoder of a model of any kind, and checks that they fit what its folder says.
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

/** @throws SentvecError `invalid-argument` for a backend of another version, `aborted` */
export function checkLoading({ backend, signal }: LoadEmbedderOptions): void {
  if (backend !== undefined) checkBackendVersion(backend);
  throwIfAborted(signal);
}

/** Loads tokenizer and encoder of what a folder describes, and checks that they fit. */
export async function assembleParts<Folder extends ModelFolder>(
  folder: Folder,
  parts: LoadingParts,
  options: LoadEmbedderOptions,
): Promise<AssembledModel<Folder>> {
  const { model } = parts;
  const { signal, onWarning = warn } = options;
  const { lowerCase, markers } = folder;
  // It takes the longest, in a thread of its own, so it starts first.
  const loadingEncoder = folder.staticEncoder ?? parts.loadEncoder(folder.encoderFiles, signal);
  const definition = await readTokenizerDefinition(folder.encoderFiles, { lowercase: lowerCase, markers });
  const configured = await configuredVocabularySize(folder);
  checkVocabulary(definition, configured, model.name);
  throwIfAborted(signal);
  const stored = readStoredSelfCheck(folder.encoderFiles);
  stored.catch(() => {}); // The check awaits it later, and throws its error.
  const [encoder, loadedTokenizer] = await Promise.all([loadingEncoder, parts.loadTokenizer(definition)]);
  throwIfAborted(signal);
  const vocabularySize = encoder.vocabularySize ?? configured;
  const tokenizer = refuseTokensWithoutWeights(loadedTokenizer, definition, vocabularySize, model.name);
  checkSizes(model, folder, encoder);
  const template = folder.pairs ? definition.pairTemplate : undefined;
  const { prefix, suffix } = tokenizer.specialTokens;
  const ofText = folder.addSpecialTokens ? prefix.length + suffix.length : 0;
  const around = template === undefined ? ofText : specialTokensOfPair(template).count;
  const { maxLength, notes } = chooseMaxLength(model, folder, encoder, around, options.maxLength);
  for (const note of folder.notes) onWarning(note);
  const typed = template?.some(({ typeId }) => typeId !== 0);
  const selfCheck = await checkBackend(folder, { encoder, tokenizer, vocabularySize, typed, stored }, parts, options);
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
  if (task !== undefined) return [`The weights have the adapter of the task "${task}".`];
  const tasks = await tasksWithAdapters(encoderFiles);
  if (tasks.length === 0) return [];
  return [
    `${encoderFiles.name} has adapters for the tasks ${tasks.join(', ')}. None was chosen, so the weights are those that all tasks share; set "task" to choose one.`,
  ];
}

/** The tasks that a model has adapters for. Nearly all models have none. */
export async function tasksWithAdapters(files: ModelFiles): Promise<readonly string[]> {
  const inFolders = (await files.list()).some((path) => path.endsWith('/adapter_config.json'));
  const config = await readConfigFile(files, 'config.json');
  if (config?.values['lora_adaptations'] === undefined && !inFolders) return [];
  const { tasksOf } = await import('../weights/task-adapters.ts');
  return tasksOf(files);
}

/** Encoders and tokenizers, loaded or still loading: they start in threads of their own. Routes share them. */
export class LoadingParts {
  readonly model: ModelFiles;
  readonly #options: LoadPartsOptions;
  /** By the name of their files. */
  readonly #encoders = new Map<string, Promise<Encoder>>();
  readonly #files = new Map<string, ModelFiles>();
  /** By the hash of their definition. */
  readonly #tokenizers = new Map<string, Promise<Tokenizer>>();
  #disposed = false;

  constructor(model: ModelFiles, options: LoadPartsOptions) {
    this.model = model;
    this.#options = options;
  }

  /** The files of an encoder, with weights that are read once. */
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

  /** Nobody would dispose what is loaded after the disposal. @throws SentvecError `disposed` */
  #checkAlive(): void {
    if (this.#disposed)
      throw new SentvecError(
        'disposed',
        `${this.model.name} was disposed while it was loaded. Load it again to go on.`,
      );
  }

  /** Disposes what was loaded, also what is still loading; nothing is loaded any more. */
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
  readonly typed: boolean | undefined;
  readonly stored: ReturnType<typeof readStoredSelfCheck>;
}

/**
 * The check of a backend. None for static embeddings: those are computed here, by code that has no other version to
 * compare with.
 */
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
    // A backend is not to blame for weights with which nothing can be computed.
    throw (SentvecError.is(error, 'backend-wrong') && (await unsoundWeights(files, head))) || error;
  }
}

async function configuredVocabularySize({ encoder, encoderFiles }: ModelFolder): Promise<number | undefined> {
  if (encoder === 'static') return undefined;
  return (await readConfigFile(encoderFiles, 'config.json'))?.size('vocab_size');
}

/** What the folder says must fit what its weights give. @throws SentvecError `invalid-model` */
function checkSizes(model: ModelFiles, { hiddenSize, head, truncateDim }: ModelFolder, encoder: Encoder): void {
  if (hiddenSize !== undefined && encoder.hiddenSize !== hiddenSize) {
    throw new SentvecError(
      'invalid-model',
      `The encoder of ${model.name} gives ${encoder.hiddenSize} numbers for a token, where config.json says ${hiddenSize}. A file that was exported with a head, such as one for masked words, is not an embedder: export it for feature extraction.`,
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
 * What the caller says, else what the folder says as far as the encoder has positions, else all the positions.
 * @param around number of special tokens that an input has besides its text, or its two texts
 */
function chooseMaxLength(
  model: ModelFiles,
  folder: ModelFolder,
  encoder: Encoder,
  around: number,
  wanted: number | undefined,
): { readonly maxLength: number; readonly notes: readonly string[] } {
  const said = folder.maxLength ?? Infinity;
  const maxLength = wanted ?? Math.min(said, encoder.maxPositions);
  if (maxLength <= around) {
    throw new SentvecError(
      wanted === undefined ? 'invalid-model' : 'invalid-argument',
      `${model.name} reads at most ${maxLength} tokens, and its special tokens take ${around}: there is no room for a text.`,
    );
  }
  if (wanted !== undefined || said <= encoder.maxPositions || said === Infinity) return { maxLength, notes: [] };
  return {
    maxLength,
    notes: [
      `The model asks for texts of up to ${said} tokens, but its encoder has positions for ${maxLength}; longer texts are cut there.`,
    ],
  };
}
