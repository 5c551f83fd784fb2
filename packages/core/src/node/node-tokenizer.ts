import { throwIfAborted } from '../errors.ts';
import { checkTokenizeOptions } from '../tokenizer/finish.ts';
import type { TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import type { TokenizerLibrary } from './tokenizer-messages.ts';
import { TokenizerThread } from './tokenizer-thread.ts';

/**
 * The tokenizer for Node: it works in a thread of its own, so that texts of any length leave the caller's event loop
 * alone.
 * @param library `auto` (default): the native one when the package `tokenizers` is installed, else the one in
 * JavaScript; their ids are identical
 * @returns the loader; it throws SentvecError `invalid-model`, and `missing-dependency` with `native`
 */
export function nodeTokenizer(library: TokenizerLibrary = 'auto'): TokenizerLoader {
  return async (definition) => {
    const { thread, name } = await TokenizerThread.start(library, definition);
    return {
      name,
      vocabularySize: definition.vocabularySize,
      paddingId: definition.paddingId,
      specialTokens: definition.specialTokens,
      encode: async (texts, options) => {
        throwIfAborted(options.signal);
        checkTokenizeOptions(definition, options);
        return thread.encode(texts, options);
      },
      dispose: () => thread.terminate(),
    };
  };
}
