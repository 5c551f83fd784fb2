import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import type { TokenizedText, TokenizeOptions, Tokenizer } from '../types.ts';
import type { TokenizerDefinition } from './definition.ts';
import { checkTokenizeOptions, finishIds, prepareText } from './finish.ts';
import { createLibraryTokenizer } from './javascript/library-tokenizer.ts';

/** Makes a tokenizer that is ready from what the model folder says. The plug for tokenizer libraries. */
export type TokenizerLoader = (definition: TokenizerDefinition) => Promise<Tokenizer>;

/**
 * The tokenizer in plain JavaScript, of `@huggingface/tokenizers`, for browsers and wherever the native one is not. It
 * works on the caller's thread, in slices of 5 ms; only a single very long text takes longer (about a millisecond for
 * 1,000 characters).
 * @throws SentvecError `invalid-model`, `unsupported-model` when the library cannot make a tokenizer of the definition
 */
export const javaScriptTokenizer: TokenizerLoader = async (definition) => {
  const idsOf = createLibraryTokenizer(definition.json);
  let disposed = false;
  return {
    name: 'huggingface-js',
    vocabularySize: definition.vocabularySize,
    paddingId: definition.paddingId,
    specialTokens: definition.specialTokens,
    encode: async (texts, options) => {
      if (disposed) throw new SentvecError('disposed', 'This tokenizer was disposed and can no longer be used.');
      return encodeInSlices(idsOf, definition, texts, options);
    },
    dispose: async () => {
      disposed = true;
    },
  };
};

async function encodeInSlices(
  idsOf: (text: string) => ArrayLike<number>,
  definition: TokenizerDefinition,
  texts: readonly string[],
  options: TokenizeOptions,
): Promise<TokenizedText[]> {
  checkTokenizeOptions(definition, options);
  const results: TokenizedText[] = [];
  for (const text of texts) {
    throwIfAborted(options.signal);
    results.push(finishIds(idsOf(prepareText(text, definition)), definition, options));
    if (shouldYield()) await yieldToEventLoop();
  }
  return results;
}
