// The native (Rust) tokenizer: loads the optional package, and passes only models and texts to it that it handles
// safely.
import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { withRows } from '../error-rows.ts';
import { SentvecError, throwIfAborted } from '../errors.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import { checkTokenizeOptions, truncateAndAddSpecialTokens, prepareText } from '../tokenizer/post-process.ts';
import {
  javaScriptTokenizer,
  tokenizerDisposedError,
  type TokenizerLoader,
} from '../tokenizer/javascript-tokenizer.ts';
import type { TokenizedText, TokenizeOptions, Tokenizer } from '../types.ts';
import { maxNativeTextLength, reasonAgainstNative } from './native-limits.ts';

type Binding = typeof import('tokenizers');
type NativeTokenizer = InstanceType<Binding['Tokenizer']>;

/**
 * Characters of the texts that are passed to the binding in one call: enough that the overhead of the call does not
 * matter, and few enough that reading the results does not block the thread for long.
 */
const groupCharacters = 2 ** 15;

/**
 * The Rust tokenizer of the optional package `tokenizers`. It runs in its own threads, but its results are read on the
 * calling thread. Texts that are too long for it, or on which it fails, are tokenized by the JavaScript tokenizer,
 * which gives the same ids and clearer errors.
 * @throws SentvecError `missing-dependency`, `invalid-model`, and `unsupported-model`, also when only the JavaScript
 * tokenizer can run the model safely
 */
export const nativeTokenizer: TokenizerLoader = async (definition) => {
  const binding = await importBinding();
  const library = await createNativeTokenizer(binding, definition);
  let other: Promise<Tokenizer> | undefined;
  let disposed = false;
  const encodeInJavaScript: Tokenizer['encode'] = async (texts, options) => {
    other ??= javaScriptTokenizer(definition);
    return (await other).encode(texts, options);
  };
  return {
    name: 'huggingface-rust',
    vocabularySize: definition.vocabularySize,
    paddingId: definition.paddingId,
    specialTokens: definition.specialTokens,
    encode: async (texts, options) => {
      if (disposed) throw tokenizerDisposedError();
      return encodeInGroups(library, encodeInJavaScript, definition, texts, options);
    },
    dispose: async () => {
      disposed = true;
    },
  };
};

async function importBinding(): Promise<Binding> {
  try {
    const module = (await import('tokenizers')) as Binding & { readonly default?: Binding };
    return module.default ?? module;
  } catch (error) {
    throw new SentvecError(
      'missing-dependency',
      `The native tokenizer cannot be loaded: ${(error as Error).message}. Install it with "npm install tokenizers", or use the library 'auto', which falls back to the JavaScript tokenizer.`,
      {},
      { cause: error },
    );
  }
}

async function createNativeTokenizer(binding: Binding, definition: TokenizerDefinition): Promise<NativeTokenizer> {
  const reason = await reasonAgainstNative(definition.json);
  if (reason !== undefined)
    throw new SentvecError(
      'unsupported-model',
      `The native tokenizer cannot run this model safely: ${reason}. Use the library 'auto', which falls back to the JavaScript tokenizer.`,
      { file: 'tokenizer.json' },
    );
  try {
    // Special tokens are added by sentvec itself, so the library does not need the post-processor.
    return binding.Tokenizer.fromString(JSON.stringify({ ...definition.json, post_processor: null }));
  } catch (error) {
    // A definition that is invalid for both is reported by the JavaScript tokenizer, with a clearer message.
    await javaScriptTokenizer(definition);
    throw new SentvecError(
      'unsupported-model',
      `The native tokenizer cannot read this model: ${(error as Error).message}. Use the library 'auto', which falls back to the JavaScript tokenizer.`,
      { file: 'tokenizer.json' },
      { cause: error },
    );
  }
}

async function encodeInGroups(
  library: NativeTokenizer,
  encodeInJavaScript: Tokenizer['encode'],
  definition: TokenizerDefinition,
  texts: readonly string[],
  options: TokenizeOptions,
): Promise<TokenizedText[]> {
  checkTokenizeOptions(definition, options);
  const results: TokenizedText[] = [];
  while (results.length < texts.length) {
    throwIfAborted(options.signal);
    const first = results.length;
    const group = nextGroup(texts, first);
    try {
      const encodings = await encodeNatively(library, group);
      if (encodings) {
        for (const encoding of encodings) {
          results.push(toTokenizedText(encoding, definition, options));
          if (shouldYield()) await yieldToEventLoop();
        }
      } else results.push(...(await encodeInJavaScript(group, options)));
    } catch (error) {
      throw withRows(error, (row) => first + row);
    }
  }
  return results;
}

type Encoding = Awaited<ReturnType<NativeTokenizer['encodeBatch']>>[number];

function toTokenizedText(encoding: Encoding, definition: TokenizerDefinition, options: TokenizeOptions): TokenizedText {
  const ids = encoding.getIds();
  const cut = truncateAndAddSpecialTokens(ids, definition, options);
  const { wordLimit = Infinity } = options;
  if (ids.length < wordLimit) return cut;
  const words = encoding.getWordIds();
  const next = words.findIndex((word, index) => index >= wordLimit && word !== words[wordLimit - 1]);
  return { ...cut, lengthAtLimit: next === -1 ? ids.length : next };
}

/** The next texts to tokenize in one call. A text that is too long for the library is a group of its own. */
function nextGroup(texts: readonly string[], start: number): readonly string[] {
  let end = start;
  for (let characters = 0; end < texts.length; end += 1) {
    const { length } = texts[end]!;
    characters += length;
    if (end > start && (characters > groupCharacters || length > maxNativeTextLength)) break;
  }
  return texts.slice(start, end);
}

/** Returns `undefined` if a text is too long for the library, or if the library fails. */
async function encodeNatively(
  library: NativeTokenizer,
  texts: readonly string[],
): Promise<readonly Encoding[] | undefined> {
  if (texts[0]!.length > maxNativeTextLength) return undefined;
  try {
    const prepared = texts.map(prepareText);
    return await library.encodeBatch(prepared, { addSpecialTokens: false });
  } catch {
    return undefined;
  }
}
