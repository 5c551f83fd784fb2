// The tokenizer for Node: tokenizes short texts on the calling thread, and many or long texts in a worker thread.
import { throwIfAborted } from '@sentvec/platform';
import { resolveInstalled, startThread, type Thread } from '@sentvec/platform/node';
import { withRows } from '../error-rows.ts';
import type { TokenizerDefinition } from '../tokenizer/definition.ts';
import {
  javaScriptTokenizer,
  tokenizerDisposedError,
  type TokenizerLoader,
} from '../tokenizer/javascript-tokenizer.ts';
import { checkTokenizeOptions } from '../tokenizer/post-process.ts';
import type { TokenizedText, TokenizeOptions, Tokenizer } from '../types.ts';
import { reasonAgainstNative } from './native-limits.ts';
import { unpackTexts, type TokenizerLibrary, type TokenizerProtocol } from './tokenizer-messages.ts';

/**
 * Number of texts in a request to the worker thread. The results of each request are unpacked on the calling thread, in
 * one turn of the event loop.
 */
const requestTexts = 512;

/**
 * The most UTF-16 code units, in all texts of a call together, that the calling thread tokenizes: about 1 ms of work. A
 * message to a thread and back takes about 0.5 ms, which is a lot compared with the encoder's 2 ms for a query.
 */
const shortCharacters = 2048;

/**
 * The largest vocabulary for which a second tokenizer is created on the calling thread. Creating one of this size takes
 * about 50 ms; one with 250,000 tokens would block the event loop for half a second.
 */
const smallVocabulary = 2 ** 16;

const tokenizerWorker = {
  file: './tokenizer-worker.js',
  entry: '@sentvec/core/tokenizer-worker',
  from: import.meta.url,
};

/**
 * The tokenizer for Node. Many or long texts are tokenized in a worker thread, which starts when it is first needed, so
 * that they do not block the event loop. Short texts, such as a query, are tokenized on the calling thread by the
 * JavaScript tokenizer, unless the vocabulary is very large or the library is `native`.
 * @param library `auto` (default): the native one if the package `tokenizers` is installed and can run the model
 * safely, otherwise the JavaScript one; their ids are identical
 * @returns the loader; it throws SentvecError `invalid-model`, `unsupported-model`, and `missing-dependency` with
 * `native`
 */
export function nodeTokenizer(library: TokenizerLibrary = 'auto'): TokenizerLoader {
  return async (definition) => {
    const thread = new TokenizerThread(library, definition);
    const isSmall = library !== 'native' && definition.vocabularySize <= smallVocabulary;
    const local = isSmall ? await javaScriptTokenizer(definition) : undefined;
    const expected = local === undefined ? await thread.start() : await expectedLibrary(library, definition);
    return {
      get name() {
        return thread.library ?? expected;
      },
      vocabularySize: definition.vocabularySize,
      paddingId: definition.paddingId,
      specialTokens: definition.specialTokens,
      encode: async (texts, options) => {
        throwIfAborted(options.signal);
        checkTokenizeOptions(definition, options);
        return (local !== undefined && areShort(texts) ? local : thread).encode(texts, options);
      },
      dispose: async () => {
        await Promise.all([local?.dispose(), thread.dispose()]);
      },
    };
  };
}

function areShort(texts: readonly string[]): boolean {
  if (texts.length > requestTexts) return false;
  let characters = 0;
  for (const text of texts) characters += text.length;
  return characters <= shortCharacters;
}

/** The name of the library that the thread will use, without loading it. */
async function expectedLibrary(library: TokenizerLibrary, definition: TokenizerDefinition): Promise<string> {
  const isNative =
    library === 'auto' &&
    resolveInstalled('tokenizers', import.meta.url) !== undefined &&
    (await reasonAgainstNative(definition.json)) === undefined;
  return isNative ? 'huggingface-rust' : 'javascript';
}

/** The worker thread, which starts when it is first needed. */
class TokenizerThread implements Pick<Tokenizer, 'encode' | 'dispose'> {
  readonly #library: TokenizerLibrary;
  readonly #definition: TokenizerDefinition;
  #thread: Promise<Thread<TokenizerProtocol>> | undefined;
  #disposed = false;
  /** The name of the library that it uses, once it has started. */
  library: string | undefined;

  constructor(library: TokenizerLibrary, definition: TokenizerDefinition) {
    this.#library = library;
    this.#definition = definition;
  }

  /** @returns the name of the library that it uses */
  async start(): Promise<string> {
    return (await this.#started()).ready;
  }

  async encode(texts: readonly string[], options: TokenizeOptions): Promise<TokenizedText[]> {
    const requests: Promise<TokenizedText[]>[] = [];
    for (let first = 0; first < texts.length; first += requestTexts)
      requests.push(this.#request(texts, first, options));
    return (await Promise.all(requests)).flat();
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#thread?.then(
      (thread) => thread.terminate(),
      () => {},
    );
  }

  async #request(all: readonly string[], first: number, options: TokenizeOptions): Promise<TokenizedText[]> {
    const { maxLength, addSpecialTokens = true, wordLimit, signal } = options;
    const texts = all.slice(first, first + requestTexts);
    const thread = await this.#started();
    try {
      return unpackTexts(await thread.call('encode', { texts, maxLength, addSpecialTokens, wordLimit }, { signal }));
    } catch (error) {
      throw withRows(error, (row) => first + row);
    }
  }

  #started(): Promise<Thread<TokenizerProtocol>> {
    if (this.#disposed && this.#thread === undefined) throw tokenizerDisposedError();
    this.#thread ??= this.#start().catch((error: unknown) => {
      this.#thread = undefined; // Do not cache a failure: the next call tries again.
      throw error;
    });
    return this.#thread;
  }

  async #start(): Promise<Thread<TokenizerProtocol>> {
    const thread = await startThread<TokenizerProtocol>(tokenizerWorker, {
      name: 'tokenizer',
      data: { library: this.#library, definition: JSON.stringify(this.#definition) },
      // Nearly all of its allocations are short-lived; by default V8 would collect them only after 48 MB.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    this.library = thread.ready;
    return thread;
  }
}
