// The caller's side of the tokenizer thread: sends it texts in requests, and unpacks the ids that come back.
import { throwIfAborted } from '@sentvec/platform';
import { startThread } from '@sentvec/platform/node';
import { checkTokenizeOptions } from '../tokenizer/post-process.ts';
import type { TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import { withRowFrom } from '../tokenizer/unreadable-text.ts';
import type { TokenizedText, TokenizeOptions } from '../types.ts';
import { unpackTexts, type TokenizerLibrary, type TokenizerProtocol } from './tokenizer-messages.ts';

/** Texts of a request. Results are unpacked on the calling thread: those of each request in a turn of the event loop. */
const requestTexts = 512;

const tokenizerWorker = {
  file: './tokenizer-worker.js',
  entry: '@sentvec/core/tokenizer-worker',
  from: import.meta.url,
};

/**
 * The tokenizer for Node: it works in a thread of its own, so that texts of any length leave the caller's event loop
 * alone.
 * @param library `auto` (default): the native one when the package `tokenizers` is installed and can be trusted with the
 * model, else the one in JavaScript; their ids are identical
 * @returns the loader; it throws SentvecError `invalid-model`, `unsupported-model`, and `missing-dependency` with `native`
 */
export function nodeTokenizer(library: TokenizerLibrary = 'auto'): TokenizerLoader {
  return async (definition) => {
    const thread = await startThread<TokenizerProtocol>(tokenizerWorker, {
      name: 'tokenizer',
      data: { library, definition: JSON.stringify(definition) },
      // Nearly all that it allocates is garbage at once; by default V8 collects it only at 48 MB.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    const request = async (
      all: readonly string[],
      first: number,
      options: TokenizeOptions,
    ): Promise<TokenizedText[]> => {
      const { maxLength, addSpecialTokens = true, signal } = options;
      const texts = all.slice(first, first + requestTexts);
      try {
        return unpackTexts(await thread.call('encode', { texts, maxLength, addSpecialTokens }, { signal }));
      } catch (error) {
        throw withRowFrom(first, error);
      }
    };
    return {
      name: thread.ready,
      vocabularySize: definition.vocabularySize,
      paddingId: definition.paddingId,
      specialTokens: definition.specialTokens,
      encode: async (texts, options) => {
        throwIfAborted(options.signal);
        checkTokenizeOptions(definition, options);
        const requests: Promise<TokenizedText[]>[] = [];
        for (let first = 0; first < texts.length; first += requestTexts) {
          requests.push(request(texts, first, options));
        }
        return (await Promise.all(requests)).flat();
      },
      dispose: () => thread.terminate(),
    };
  };
}
