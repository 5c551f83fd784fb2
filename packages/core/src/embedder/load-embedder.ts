/** From a model folder to an embedder: reads the parts, loads tokenizer and encoder, and checks that they fit. */
import { checkOptionNames, warn, type OptionNames } from '@sentvec/platform';
import type { Backend, Encoder, LoadOptions } from '../backend.ts';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { readConfigFile } from '../model-folder/config-file.ts';
import { listedOnce, withCachedWeights } from '../model-folder/model-files.ts';
import { readFolder, type ModelFolder, type ModelFolderOptions } from '../model-folder/read-model-folder.ts';
import { outputSize } from '../projection/head.ts';
import { checkEncoder } from '../self-check/self-check.ts';
import { readStoredSelfCheck } from '../self-check/stored-self-check.ts';
import { readTokenizerDefinition, type TokenizerDefinition } from '../tokenizer/definition.ts';
import { javaScriptTokenizer, type TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import { checkVocabulary, refuseTokensWithoutWeights } from '../tokenizer/tokens-without-weights.ts';
import type { ModelFiles, SelfCheckResult, Tokenizer } from '../types.ts';
import { checkBackendVersion } from './backend-version.ts';
import { unsoundWeights } from '../weights/unsound-weights.ts';
import { createEmbedder } from './embedder.ts';
import type { Embedder, EmbedderParts, Receipt } from './embedder-types.ts';

/** Options of {@link loadEmbedder}. */
export interface LoadEmbedderOptions extends ModelFolderOptions, LoadOptions {
  /** What runs the encoder. Only models of static embeddings, which have none, go without. */
  readonly backend?: Backend | undefined;
  /**
   * Which library tokenizes.
   * @default the one in JavaScript; in Node, by `@sentvec/core/node`, the native one when it is installed
   */
  readonly tokenizer?: TokenizerLoader | undefined;
  /**
   * For a model with adapters for tasks, such as jina-embeddings-v3: the task, `retrieval.query` say, whose adapter is
   * merged into the weights.
   * @default no adapter: the weights that all tasks share
   */
  readonly task?: string | undefined;
  /** The most tokens of a text that are read, instead of what the model says. */
  readonly maxLength?: number | undefined;
  /** Called with the receipt of each `embed` that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  /**
   * Whether the encoder is checked before it is used: it embeds a few short texts, and what differs from the model's own
   * values is refused.
   * @default true
   */
  readonly selfCheck?: boolean | undefined;
}

/** The options of {@link loadEmbedder}, by which others tell them from their own. */
export const loadOptionNames: OptionNames<LoadEmbedderOptions> = {
  backend: true,
  tokenizer: true,
  maxLength: true,
  task: true,
  pooling: true,
  poolings: true,
  route: true,
  selfCheck: true,
  signal: true,
  onReceipt: true,
  onWarning: true,
};

/**
 * Loads a model folder: reads what its parts are, loads tokenizer and encoder, and puts them together.
 * @throws SentvecError `invalid-model`, `unsupported-model`, `invalid-argument`, `backend-unavailable`,
 * `backend-failed`, `backend-wrong`, `missing-dependency`, `aborted`
 */
export async function loadEmbedder(model: ModelFiles, options: LoadEmbedderOptions = {}): Promise<Embedder> {
  checkOptionNames('loadEmbedder()', options, loadOptionNames);
  const loaded = await loadModelParts(model, options, (files, parts) =>
    readFolder(files, options, async ({ encoderFiles }) => (await parts.loadEncoder(encoderFiles)).pooledOutput),
  );
  return createEmbedder(loaded.parts);
}

/** A model's parts, with what they were made of. */
export interface AssembledModel<Folder extends ModelFolder> {
  readonly folder: Folder;
  readonly definition: TokenizerDefinition;
  readonly parts: EmbedderParts;
}

/**
 * Loads tokenizer and encoder of a model of any kind, and checks that they fit what its folder says.
 * @param read reads the folder
 * @throws SentvecError as {@link loadEmbedder}
 */
export async function loadModelParts<Folder extends ModelFolder>(
  model: ModelFiles,
  options: LoadEmbedderOptions,
  read: (files: ModelFiles, parts: LoadingParts) => Promise<Folder>,
): Promise<AssembledModel<Folder>> {
  if (options.backend !== undefined) checkBackendVersion(options.backend);
  throwIfAborted(options.signal);
  const parts = new LoadingParts(options);
  try {
    const files = await chooseTask(model, options.task);
    return await assemble(files, await read(listedOnce(files), parts), parts, options);
  } catch (error) {
    await parts.dispose();
    throw error;
  }
}

async function assemble<Folder extends ModelFolder>(
  model: ModelFiles,
  folder: Folder,
  parts: LoadingParts,
  options: LoadEmbedderOptions,
): Promise<AssembledModel<Folder>> {
  const { signal, onWarning = warn } = options;
  const { lowerCase, markers } = folder;
  const definition = await readTokenizerDefinition(folder.encoderFiles, { lowercase: lowerCase, markers });
  const configured = await configuredVocabularySize(folder);
  checkVocabulary(definition, configured, model.name);
  throwIfAborted(signal);
  const stored = readStoredSelfCheck(folder.encoderFiles);
  stored.catch(() => {}); // The check awaits it later, and throws its error.
  const [encoder, loadedTokenizer] = await Promise.all([
    folder.staticEncoder ?? parts.loadEncoder(folder.encoderFiles),
    parts.loadTokenizer(definition),
  ]);
  throwIfAborted(signal);
  const vocabularySize = encoder.vocabularySize ?? configured;
  const tokenizer = refuseTokensWithoutWeights(loadedTokenizer, definition, vocabularySize, model.name);
  checkSizes(model, folder, encoder);
  const { maxLength, notes } = chooseMaxLength(model, folder, encoder, tokenizer, options.maxLength);
  for (const note of folder.notes) onWarning(note);
  const selfCheck = await checkBackend(folder, { encoder, tokenizer, vocabularySize, stored }, parts, options);
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
    encoderFiles: folder.encoderFiles,
    tokenizerHash: definition.hash,
    selfCheck,
    onReceipt: options.onReceipt,
    notes: [...folder.notes, ...notes, ...(await taskNotes(folder, options.task))],
  };
  return { folder, definition, parts: loaded };
}

async function chooseTask(model: ModelFiles, task: string | undefined): Promise<ModelFiles> {
  if (task === undefined) return model;
  const { withTask } = await import('../weights/task-adapters.ts');
  return withTask(model, task);
}

/** Which adapter of a model that has several is in its weights. */
async function taskNotes(
  { encoder, encoderFiles }: ModelFolder,
  chosen: string | undefined,
): Promise<readonly string[]> {
  const config = encoder === 'static' ? undefined : await readConfigFile(encoderFiles, 'config.json');
  const task = chosen ?? config?.string('default_task');
  if (task !== undefined) return [`The weights have the adapter of the task "${task}".`];
  const inFolders = (await encoderFiles.list()).some((path) => path.endsWith('/adapter_config.json'));
  if (config?.values['lora_adaptations'] === undefined && !inFolders) return [];
  const { tasksOf } = await import('../weights/task-adapters.ts');
  const tasks = await tasksOf(encoderFiles);
  if (tasks.length === 0) return [];
  return [
    `${encoderFiles.name} has adapters for the tasks ${tasks.join(', ')}. None was chosen, so the weights are those that all tasks share; set "task" to choose one.`,
  ];
}

/** Encoder and tokenizer on their way: both start in threads of their own, which takes a while. */
class LoadingParts {
  readonly #options: LoadEmbedderOptions;
  #encoder: Promise<Encoder> | undefined;
  #tokenizer: Promise<Tokenizer> | undefined;
  #files: ModelFiles | undefined;

  constructor(options: LoadEmbedderOptions) {
    this.#options = options;
  }

  /** The files of the encoder, with weights that are read once. */
  filesOf(encoderFiles: ModelFiles): ModelFiles {
    return (this.#files ??= withCachedWeights(encoderFiles));
  }

  loadEncoder(encoderFiles: ModelFiles): Promise<Encoder> {
    const { backend, signal, onWarning } = this.#options;
    if (backend === undefined)
      throw new SentvecError(
        'invalid-argument',
        `The model ${encoderFiles.name} needs a backend to run its encoder; pass one, for example onnx() of @sentvec/backend-onnx.`,
      );
    return (this.#encoder ??= backend.load(this.filesOf(encoderFiles), { signal, onWarning }));
  }

  loadTokenizer(definition: TokenizerDefinition): Promise<Tokenizer> {
    const { tokenizer: load = javaScriptTokenizer } = this.#options;
    return (this.#tokenizer ??= load(definition));
  }

  /** Disposes what was loaded, also what is still on its way. */
  async dispose(): Promise<void> {
    const loaded = await Promise.allSettled([this.#encoder, this.#tokenizer]);
    await Promise.all(loaded.map(async (part) => part.status === 'fulfilled' && part.value?.dispose()));
  }
}

interface LoadedParts {
  readonly encoder: Encoder;
  readonly tokenizer: Tokenizer;
  readonly vocabularySize: number | undefined;
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
      `The encoder of ${model.name} gives ${encoder.hiddenSize} numbers for a token, where config.json says ${hiddenSize}. A file that was exported with a head, for masked words say, is no embedder: export it for feature extraction.`,
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

/** What the caller says, else what the folder says as far as the encoder has positions, else all the positions. */
function chooseMaxLength(
  model: ModelFiles,
  folder: ModelFolder,
  encoder: Encoder,
  { specialTokens }: Tokenizer,
  wanted: number | undefined,
): { readonly maxLength: number; readonly notes: readonly string[] } {
  const said = folder.maxLength ?? Infinity;
  const maxLength = wanted ?? Math.min(said, encoder.maxPositions);
  const around = folder.addSpecialTokens ? specialTokens.prefix.length + specialTokens.suffix.length : 0;
  if (maxLength <= around) {
    throw new SentvecError(
      wanted === undefined ? 'invalid-model' : 'invalid-argument',
      `${model.name} reads texts of at most ${maxLength} tokens, of which its special tokens take ${around}: nothing of a text is left.`,
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
