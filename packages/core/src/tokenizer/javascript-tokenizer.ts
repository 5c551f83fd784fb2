import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { giveWay, sliceIsOver } from '../event-loop.ts';
import type { TokenizedText, TokenizeOptions, Tokenizer } from '../types.ts';
import type { TokenizerDefinition } from './definition.ts';
import { checkTokenizeOptions, finishIds, prepareText } from './finish.ts';

/** Makes a tokenizer that is ready from what the model folder says. The plug for tokenizer libraries. */
export type TokenizerLoader = (definition: TokenizerDefinition) => Promise<Tokenizer>;

/**
 * The tokenizer in plain JavaScript, of `@huggingface/tokenizers`, for browsers and wherever the native one is not. It works
 * on the caller's thread, in slices of 5 ms; only a single very long text takes longer (about a millisecond for 1,000 characters).
 * @throws SentvecError `invalid-model` when the library cannot make a tokenizer of the definition
 */
export const javaScriptTokenizer: TokenizerLoader = async (definition) => {
  const library = createLibraryTokenizer(definition);
  let disposed = false;
  return {
    name: 'huggingface-js',
    vocabularySize: definition.vocabularySize,
    paddingId: definition.paddingId,
    specialTokens: definition.specialTokens,
    encode: async (texts, options) => {
      if (disposed) throw new SentvecError('disposed', 'This tokenizer was disposed and can no longer be used.');
      return encodeInSlices(library, definition, texts, options);
    },
    dispose: async () => {
      disposed = true;
    },
  };
};

/** Ids of a text, uncut and without special tokens. */
export interface LibraryTokenizer {
  ids(text: string): ArrayLike<number>;
}

function createLibraryTokenizer(definition: TokenizerDefinition): LibraryTokenizer {
  try {
    const tokenizer = new HuggingFaceTokenizer(definition.json, {});
    return { ids: (text) => tokenizer.encode(text, { add_special_tokens: false }).ids };
  } catch (error) {
    throw new SentvecError('invalid-model', `The tokenizer of this model cannot be used: ${(error as Error).message}.`, {}, { cause: error });
  }
}

async function encodeInSlices(
  library: LibraryTokenizer,
  definition: TokenizerDefinition,
  texts: readonly string[],
  options: TokenizeOptions,
): Promise<TokenizedText[]> {
  checkTokenizeOptions(definition, options);
  const results: TokenizedText[] = [];
  for (const text of texts) {
    throwIfAborted(options.signal);
    results.push(finishIds(library.ids(prepareText(text, definition)), definition, options));
    if (sliceIsOver()) await giveWay();
  }
  return results;
}
