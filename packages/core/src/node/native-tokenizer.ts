// The binding to the Rust tokenizer: loads the optional package, and gives it only models and texts that it can take.
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
import { longestNativeText, reasonAgainstNative } from './native-limits.ts';

type Binding = typeof import('tokenizers');
type NativeTokenizer = InstanceType<Binding['Tokenizer']>;

/**
 * Characters of the texts that are given to the binding at once: enough to pay for the call, little enough to read back
 * in one slice.
 */
const groupCharacters = 2 ** 15;

/**
 * The tokenizer in Rust, of the package `tokenizers`, which must be installed beside this one. It works on threads of
 * its own, but its results are read on the calling one. Texts that it may take too long for, or that it fails on, are
 * for the tokenizer in JavaScript, which gives the same ids, and names the text that has none.
 * @throws SentvecError `missing-dependency`, `invalid-model`, and `unsupported-model` also when only the tokenizer in
 * JavaScript may be given the model
 */
export const nativeTokenizer: TokenizerLoader = async (definition) => {
  const binding = await importBinding();
  const library = await createNativeTokenizer(binding, definition);
  let other: Promise<Tokenizer> | undefined;
  let disposed = false;
  const encodeOtherwise: Tokenizer['encode'] = async (texts, options) => {
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
      return encodeInGroups(library, encodeOtherwise, definition, texts, options);
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
      `The native tokenizer cannot be loaded: ${(error as Error).message}. Install it with "npm install tokenizers", or leave the choice to sentvec, which then uses the one in JavaScript.`,
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
      `The native tokenizer cannot be trusted with this model: ${reason}. Leave the choice to sentvec, which then uses the tokenizer in JavaScript.`,
      { file: 'tokenizer.json' },
    );
  try {
    // What a text's ids do not depend on is not given to it either.
    return binding.Tokenizer.fromString(JSON.stringify({ ...definition.json, post_processor: null }));
  } catch (error) {
    // A definition that is invalid for both is reported by the JavaScript tokenizer, with a clearer message.
    await javaScriptTokenizer(definition);
    throw new SentvecError(
      'unsupported-model',
      `The native tokenizer does not read this model: ${(error as Error).message}. Leave the choice to sentvec, which then uses the tokenizer in JavaScript.`,
      { file: 'tokenizer.json' },
      { cause: error },
    );
  }
}

async function encodeInGroups(
  library: NativeTokenizer,
  encodeOtherwise: Tokenizer['encode'],
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
      } else results.push(...(await encodeOtherwise(group, options)));
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

/** Consecutive texts: a long one by itself. */
function nextGroup(texts: readonly string[], start: number): readonly string[] {
  let end = start;
  for (let characters = 0; end < texts.length; end += 1) {
    const { length } = texts[end]!;
    characters += length;
    if (end > start && (characters > groupCharacters || length > longestNativeText)) break;
  }
  return texts.slice(start, end);
}

/** `undefined` for texts that are not for the library, or that it cannot tokenize all. */
async function encodeNatively(
  library: NativeTokenizer,
  texts: readonly string[],
): Promise<readonly Encoding[] | undefined> {
  if (texts[0]!.length > longestNativeText) return undefined;
  try {
    const prepared = texts.map(prepareText);
    return await library.encodeBatch(prepared, { addSpecialTokens: false });
  } catch {
    return undefined;
  }
}
