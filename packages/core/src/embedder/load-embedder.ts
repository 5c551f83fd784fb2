import { warn } from '@sentvec/platform';
import { checkEncoder } from '../self-check/self-check.ts';
import { readStoredSelfCheck } from '../self-check/stored-self-check.ts';
import { createEmbedder } from './embedder.ts';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { checkBackendVersion } from './backend-version.ts';
import { readConfigFile } from '../model-folder/config-file.ts';
import { listedOnce, withCachedWeights } from '../model-folder/model-files.ts';
import { readModelFolder, type ModelFolder, type ModelFolderOptions } from '../model-folder/read-model-folder.ts';
import { readTokenizerDefinition, type TokenizerDefinition } from '../tokenizer/definition.ts';
import { javaScriptTokenizer, type TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import type { Embedder, Receipt } from './embedder-types.ts';
import type { Backend, Encoder, LoadOptions } from '../backend.ts';
import type { SelfCheckResult, ModelFiles, Tokenizer } from '../types.ts';

/** Options of {@link loadEmbedder}. */
export interface LoadEmbedderOptions extends ModelFolderOptions, LoadOptions {
  /** What runs the encoder. Only models of static embeddings, which have none, go without. */
  readonly backend?: Backend | undefined;
  /**
   * Which library tokenizes. Default: the one in JavaScript; in Node, by `@sentvec/core/node`, the native one when it
   * is installed.
   */
  readonly tokenizer?: TokenizerLoader | undefined;
  /** The most tokens of a text that are read, instead of what the model says. */
  readonly maxLength?: number | undefined;
  /** Called with the receipt of each `embed` that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  /**
   * Whether the encoder is checked before it is used: it embeds a short text, and what differs from the model's own
   * values is refused. Default true.
   */
  readonly selfCheck?: boolean | undefined;
}

/**
 * Loads a model folder: reads what its parts are, loads tokenizer and encoder, and puts them together.
 * @throws SentvecError `invalid-model`, `unsupported-model`, `invalid-argument`, `backend-unavailable`,
 * `backend-failed`, `backend-wrong`, `missing-dependency`, `aborted`
 */
export async function loadEmbedder(model: ModelFiles, options: LoadEmbedderOptions = {}): Promise<Embedder> {
  const { signal, tokenizer: loadTokenizer = javaScriptTokenizer } = options;
  if (options.backend !== undefined) checkBackendVersion(options.backend);
  throwIfAborted(signal);
  const read = await readModelFolder(listedOnce(model), options);
  const folder = { ...read, encoderFiles: withCachedWeights(read.encoderFiles) };
  const definition = await readTokenizerDefinition(folder.encoderFiles, { lowercase: folder.lowerCase });
  const vocabularySize = await configuredVocabularySize(folder);
  checkVocabulary(model, definition, vocabularySize);
  throwIfAborted(signal);
  const check = backendCheck(folder, options);
  const { encoder, tokenizer } = await loadTogether(loadEncoder(model, folder, options), loadTokenizer(definition));
  try {
    throwIfAborted(signal);
    checkVocabulary(model, definition, encoder.vocabularySize);
    const { maxLength, notes } = chooseMaxLength(folder, encoder, options.maxLength);
    const selfCheck = await check?.(encoder, tokenizer, encoder.vocabularySize ?? vocabularySize);
    return createEmbedder({
      model,
      tokenizer,
      encoder,
      head: folder.head,
      maxLength,
      addSpecialTokens: folder.addSpecialTokens,
      prompts: folder.prompts,
      defaultPrompt: folder.defaultPrompt,
      truncateDim: folder.truncateDim,
      similarityFunction: folder.similarityFunction,
      encoderFiles: read.encoderFiles,
      tokenizerHash: definition.hash,
      selfCheck,
      onReceipt: options.onReceipt,
      notes: [...folder.notes, ...notes],
    });
  } catch (error) {
    await Promise.all([encoder.dispose(), tokenizer.dispose()]);
    throw error;
  }
}

/** Both start in threads of their own, which takes a while. When one fails, the other is disposed. */
async function loadTogether(
  encoderLoading: Promise<Encoder>,
  tokenizerLoading: Promise<Tokenizer>,
): Promise<{ readonly encoder: Encoder; readonly tokenizer: Tokenizer }> {
  const [encoder, tokenizer] = await Promise.allSettled([encoderLoading, tokenizerLoading]);
  if (encoder.status === 'fulfilled' && tokenizer.status === 'fulfilled')
    return { encoder: encoder.value, tokenizer: tokenizer.value };
  await Promise.all([encoder, tokenizer].map(async (part) => part.status === 'fulfilled' && part.value.dispose()));
  throw encoder.status === 'rejected' ? encoder.reason : (tokenizer as PromiseRejectedResult).reason;
}

/**
 * The check of a backend, which reads what the folder holds for it while the encoder is loaded. None for static
 * embeddings: those are computed here, by code that has no other version to compare with.
 */
function backendCheck(
  folder: ModelFolder,
  { backend, selfCheck = true, signal, onWarning = warn }: LoadEmbedderOptions,
): ((encoder: Encoder, tokenizer: Tokenizer, vocabularySize?: number) => Promise<SelfCheckResult>) | undefined {
  if (!selfCheck || backend === undefined || folder.staticEncoder !== undefined) return undefined;
  const { encoderFiles: files, head, addSpecialTokens } = folder;
  const stored = readStoredSelfCheck(files);
  stored.catch(() => {}); // The check awaits it later, and throws its error.
  const subject = { backend, files, stored, head, addSpecialTokens, signal, onWarning };
  return (encoder, tokenizer, vocabularySize) => checkEncoder({ ...subject, encoder, tokenizer, vocabularySize });
}

async function loadEncoder(
  model: ModelFiles,
  folder: ModelFolder,
  { backend, signal, onWarning }: LoadEmbedderOptions,
): Promise<Encoder> {
  if (folder.staticEncoder) return folder.staticEncoder;
  if (backend) return backend.load(folder.encoderFiles, { signal, onWarning });
  throw new SentvecError(
    'invalid-argument',
    `The model ${model.name} needs a backend to run its encoder; pass one, for example onnx() of @sentvec/backend-onnx.`,
  );
}

async function configuredVocabularySize({ encoder, encoderFiles }: ModelFolder): Promise<number | undefined> {
  if (encoder === 'static') return undefined;
  return (await readConfigFile(encoderFiles, 'config.json'))?.size('vocab_size');
}

function checkVocabulary(model: ModelFiles, definition: TokenizerDefinition, size: number | undefined): void {
  if (size === undefined || definition.vocabularySize <= size) return;
  throw new SentvecError(
    'invalid-model',
    `The tokenizer of ${model.name} gives ids up to ${definition.vocabularySize - 1}, but its encoder has weights for ${size} ids only. Are they of the same model?`,
    { file: 'tokenizer.json' },
  );
}

/** What the caller says, else what the folder says as far as the encoder has positions, else all the positions. */
function chooseMaxLength(
  folder: ModelFolder,
  encoder: Encoder,
  wanted: number | undefined,
): { readonly maxLength: number; readonly notes: readonly string[] } {
  if (wanted !== undefined) return { maxLength: wanted, notes: [] };
  const said = folder.maxLength ?? Infinity;
  const maxLength = Math.min(said, encoder.maxPositions);
  const note = `The model asks for texts of up to ${said} tokens, but its encoder has positions for ${maxLength}; longer texts are cut there.`;
  return { maxLength, notes: said > maxLength && said !== Infinity ? [note] : [] };
}
