// The tokenizer for Node: short texts are tokenized at once, on the calling thread; more go in requests to a thread.
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
 * Texts of a request. Results are unpacked on the calling thread: those of each request in a turn of the event loop.
 */
const requestTexts = 512;

/**
 * The most UTF-16 code units, of all texts of a call together, that the calling thread tokenizes: about a millisecond
 * of work. A message to a thread and back takes half of one, which is a lot beside the encoder's two for a query.
 */
const shortCharacters = 2048;

/**
 * The largest vocabulary for which the calling thread has a tokenizer of its own. One of this size is made in some 50
 * ms of its time; one of 250,000 pieces would hold the event loop up for half a second.
 */
const smallVocabulary = 2 ** 16;

const tokenizerWorker = {
  file: './tokenizer-worker.js',
  entry: '@sentvec/core/tokenizer-worker',
  from: import.meta.url,
};

/**
 * The tokenizer for Node. Many or long texts are tokenized in a thread of its own, so that they leave the caller's
 * event loop alone; it starts when they first come. Short ones, such as a query, are tokenized on the calling thread by the
 * tokenizer in JavaScript, unless the vocabulary is very large or the library is `native`.
 * @param library `auto` (default): the native one when the package `tokenizers` is installed and can be trusted with
 * the model, else the one in JavaScript; their ids are identical
 * @returns the loader; it throws SentvecError `invalid-model`, `unsupported-model`, and `missing-dependency` with
 * `native`
 */
export function nodeTokenizer(library: TokenizerLibrary = 'auto'): TokenizerLoader {
  return async (definition) => {
    const thread = new TokenizerThread(library, definition);
    const isSmall = library !== 'native' && definition.vocabularySize <= smallVocabulary;
    const here = isSmall ? await javaScriptTokenizer(definition) : undefined;
    const expected = here === undefined ? await thread.start() : await expectedLibrary(library, definition);
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
        return (here !== undefined && areShort(texts) ? here : thread).encode(texts, options);
      },
      dispose: async () => {
        await Promise.all([here?.dispose(), thread.dispose()]);
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

/** The thread that tokenizes, which starts when it is first needed. */
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
      this.#thread = undefined; // It may start the next time.
      throw error;
    });
    return this.#thread;
  }

  async #start(): Promise<Thread<TokenizerProtocol>> {
    const thread = await startThread<TokenizerProtocol>(tokenizerWorker, {
      name: 'tokenizer',
      data: { library: this.#library, definition: JSON.stringify(this.#definition) },
      // Nearly all that it allocates is garbage at once; by default V8 collects it only at 48 MB.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    this.library = thread.ready;
    return thread;
  }
}
