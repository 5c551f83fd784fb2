/**
 * The tokenizer in plain JavaScript, which gives the same ids as the Rust tokenizers. It runs everywhere, including
 * browsers.
 */
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

/** Creates a tokenizer from its definition. The extension point for tokenizer libraries. */
export type TokenizerLoader = (definition: TokenizerDefinition) => Promise<Tokenizer>;

/**
 * The tokenizer in plain JavaScript. It runs on the calling thread and yields to the event loop every 5 ms. Only a
 * single long text can block longer: it takes about 1 ms per 1,000 characters.
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
      return encodeTexts(textTokenizer, definition, texts, options);
    },
    dispose: async () => {
      disposed = true;
    },
  };
};

/** The error of a tokenizer that is used after its `dispose`. */
export function tokenizerDisposedError(): SentvecError {
  return new SentvecError('disposed', 'This tokenizer was disposed. Load the model again to use it.');
}

async function encodeTexts(
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
 * Maximum factor by which normalization and splitting may lengthen a text. The largest of published tokenizers is 37.
 */
export const maxGrowth: number = 256;
/** A text may always grow to this length, even if it was short. In UTF-16 code units. */
const minLengthLimit = 1024;
/** No text may grow beyond this length, which is four times that of the longest text that can be embedded. */
const maxNormalizedLength = 2 ** 24;

/** @throws SentvecError `invalid-model`, `unsupported-model` */
async function createTextTokenizer(json: TokenizerJson): Promise<TextTokenizer> {
  const splitting = await readSplitting(json.normalizer, json.pre_tokenizer);
  const hasWords = json.added_tokens.some((token) => token.single_word);
  const isWord = hasWords ? (await import('./pattern/character-classes.ts')).isRegexWord : () => false;
  return new TextTokenizer(json.added_tokens, splitting, await createModel(json.model), isWord);
}

/** Computes the ids of a text, without truncation and special tokens. */
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
    const { normalize, preTokenize, dependsOnStart } = this.#splitting;
    const maxLength = lengthLimit(text);
    const lead = dependsOnStart && text !== '' ? (text.codePointAt(0)! > 0xffff ? 2 : 1) : 0;
    splitAtTokens({ text, lead }, this.#rawTokens, ids, (raw) => {
      normalize(raw, maxLength);
      splitAtTokens(raw, this.#normalizedTokens, ids, (piece) => {
        endWord();
        for (const word of preTokenize([piece], maxLength)) {
          for (const id of this.#model(word.text)) ids.push(id);
          endWord();
        }
      });
    });
    endWord();
    return { ids, lengthAtLimit };
  }
}

function lengthLimit(text: string): number {
  return Math.min(maxNormalizedLength, text.length * maxGrowth + minLengthLimit);
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
 * The form that an added token has in a normalized text.
 * @throws SentvecError `unsupported-model` when it cannot be normalized
 */
export function normalizedText({ normalize }: Splitting, text: string): string {
  const piece = { text, lead: 0 };
  try {
    normalize(piece, lengthLimit(text));
  } catch (error) {
    if (!(error instanceof UnreadableText)) throw error;
    throw new SentvecError(
      'unsupported-model',
      `The added token ${JSON.stringify(text)} in tokenizer.json ${error.message}`,
    );
  }
  return piece.text;
}
