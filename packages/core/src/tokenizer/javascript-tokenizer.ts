/** The tokenizer in plain JavaScript: it gives the same ids as the Rust tokenizers, where these are not available. */
import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import type { TokenizedText, TokenizeOptions, Tokenizer } from '../types.ts';
import { AddedTokens } from './added-tokens.ts';
import { createModel } from './models/create-model.ts';
import type { TokenizerDefinition } from './definition.ts';
import { checkTokenizeOptions, truncateAndAddSpecialTokens, prepareText } from './post-process.ts';
import type { Model } from './models/model.ts';
import type { CharacterTest } from './pattern/character-classes.ts';
import { slice, type Piece } from './piece.ts';
import { readSplitting, type Splitting } from './splitting.ts';
import type { AddedToken, TokenizerJson } from './tokenizer-json.ts';
import { textError, UnreadableText } from './unreadable-text.ts';

/** Makes a tokenizer that is ready from what the model folder says. The plug for tokenizer libraries. */
export type TokenizerLoader = (definition: TokenizerDefinition) => Promise<Tokenizer>;

/**
 * The tokenizer in plain JavaScript. It works on the caller's thread, in slices of 5 ms; only a single very long text
 * takes longer (about a millisecond for 1,000 characters).
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export const javaScriptTokenizer: TokenizerLoader = async (definition) => {
  const textTokenizer = await createTextTokenizer(definition.json);
  let disposed = false;
  return {
    name: 'javascript',
    vocabularySize: definition.vocabularySize,
    paddingId: definition.paddingId,
    specialTokens: definition.specialTokens,
    encode: async (texts, options) => {
      if (disposed) throw tokenizerDisposedError();
      return encodeInSlices(textTokenizer, definition, texts, options);
    },
    dispose: async () => {
      disposed = true;
    },
  };
};

/** The error of a tokenizer that is asked for more after its `dispose`. */
export function tokenizerDisposedError(): SentvecError {
  return new SentvecError('disposed', 'This tokenizer was disposed and can no longer be used.');
}

async function encodeInSlices(
  tokenizer: TextTokenizer,
  definition: TokenizerDefinition,
  texts: readonly string[],
  options: TokenizeOptions,
): Promise<TokenizedText[]> {
  checkTokenizeOptions(definition, options);
  const results: TokenizedText[] = [];
  for (const [row, text] of texts.entries()) {
    throwIfAborted(options.signal);
    try {
      const { ids, lengthAtLimit } = tokenizer.encode(prepareText(text), options.wordLimit);
      const cut = truncateAndAddSpecialTokens(ids, definition, options);
      results.push(lengthAtLimit === undefined ? cut : { ...cut, lengthAtLimit });
    } catch (error) {
      throw error instanceof UnreadableText ? textError(row, error.message) : error;
    }
    if (shouldYield()) await yieldToEventLoop();
  }
  return results;
}

/**
 * The most times its length that a text may grow to while it is normalized and split. Published tokenizers: 37 times.
 */
export const mostGrowth: number = 256;
/** Any text may grow to this length, however short it was. */
const shortLength = 1024;
/** No text may grow beyond this length: four times the longest text that is embedded. */
const longestLength = 2 ** 24;

/** @throws SentvecError `invalid-model`, `unsupported-model` */
async function createTextTokenizer(json: TokenizerJson): Promise<TextTokenizer> {
  const splitting = await readSplitting(json.normalizer, json.pre_tokenizer);
  const hasWords = json.added_tokens.some((token) => token.single_word);
  const isWord = hasWords ? (await import('./pattern/character-classes.ts')).isRegexWord : () => false;
  return new TextTokenizer(json.added_tokens, splitting, await createModel(json.model), isWord);
}

/** Gives the ids of a text, uncut and without special tokens. */
class TextTokenizer {
  readonly #rawTokens: AddedTokens;
  readonly #normalizedTokens: AddedTokens;
  readonly #splitting: Splitting;
  readonly #model: Model;

  /** @throws SentvecError `invalid-model`, `unsupported-model` */
  constructor(tokens: readonly AddedToken[], splitting: Splitting, model: Model, isWord: CharacterTest) {
    this.#splitting = splitting;
    this.#model = model;
    const raw = tokens.filter((token) => !token.normalized);
    const normalized = tokens.filter((token) => token.normalized);
    this.#rawTokens = new AddedTokens(raw, (content) => content, isWord);
    this.#normalizedTokens = new AddedTokens(normalized, (content) => normalizedText(splitting, content), isWord);
  }

  /** @throws UnreadableText */
  encode(text: string, wordLimit = Infinity): { readonly ids: number[]; readonly lengthAtLimit: number | undefined } {
    const ids: number[] = [];
    let lengthAtLimit: number | undefined;
    const endWord = (): void => {
      if (lengthAtLimit === undefined && ids.length >= wordLimit) lengthAtLimit = ids.length;
    };
    const { normalize, preTokenize, asksForStart } = this.#splitting;
    const longest = longestAfter(text);
    const lead = asksForStart && text !== '' ? (text.codePointAt(0)! > 0xffff ? 2 : 1) : 0;
    splitAtTokens({ text, lead }, this.#rawTokens, ids, (raw) => {
      normalize(raw, longest);
      splitAtTokens(raw, this.#normalizedTokens, ids, (piece) => {
        endWord();
        for (const word of preTokenize([piece], longest)) {
          for (const id of this.#model(word.text)) ids.push(id);
          endWord();
        }
      });
    });
    endWord();
    return { ids, lengthAtLimit };
  }
}

function longestAfter(text: string): number {
  return Math.min(longestLength, text.length * mostGrowth + shortLength);
}

/** Adds the ids of the added tokens in a piece to `ids`, and calls `encode` for the text between them, in order. */
function splitAtTokens(piece: Piece, tokens: AddedTokens, ids: number[], encode: (piece: Piece) => void): void {
  const found = tokens.find(piece.text);
  let taken = 0;
  for (let index = 0; index < found.length; index += 3) {
    const start = found[index]!;
    if (start > taken) encode(slice(piece, taken, start));
    ids.push(found[index + 2]!);
    taken = found[index + 1]!;
  }
  if (taken < piece.text.length) encode(taken === 0 ? piece : slice(piece, taken, piece.text.length));
}

/**
 * How an added token is spelled in a normalized text.
 * @throws SentvecError `unsupported-model` when it cannot be normalized
 */
export function normalizedText({ normalize }: Splitting, text: string): string {
  const piece = { text, lead: 0 };
  try {
    normalize(piece, longestAfter(text));
  } catch (error) {
    if (!(error instanceof UnreadableText)) throw error;
    throw new SentvecError(
      'unsupported-model',
      `The added token ${JSON.stringify(text)} in tokenizer.json ${error.message}`,
    );
  }
  return piece.text;
}
