// Splits a text that is longer than the model reads, and counts tokens with the model's own tokenizer to do so.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import type { Embedder } from './embedder-types.ts';
import { checkCount } from '../search/vector-checks.ts';

/** Options of {@link splitByTokens}. */
export interface SplitByTokensOptions {
  /**
   * The most tokens of a piece, special tokens included.
   * @default what the model reads
   */
  readonly maxTokens?: number | undefined;
  /**
   * Tokens from the end of a piece with which the next one begins, as far as whole words allow.
   * @default 0
   */
  readonly overlapTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const optionNames: OptionNames<SplitByTokensOptions> = { maxTokens: true, overlapTokens: true, signal: true };

/** A word of a text: where it stands, and how many tokens it has. */
interface Word {
  readonly start: number;
  readonly end: number;
  readonly tokens: number;
}

/**
 * A long text in pieces that a model reads whole: each as many words as fit, from word to word as they stand in the
 * text, white space around a piece left out. A word that does not fit alone is cut between characters.
 * @param model whose tokenizer counts
 * @returns no pieces for a text without words
 * @throws SentvecError `invalid-argument` when the special tokens alone fill a piece, or the overlap does; `aborted`
 */
export async function splitByTokens(
  text: string,
  model: Pick<Embedder, 'tokenizer' | 'maxLength'>,
  options: SplitByTokensOptions = {},
): Promise<string[]> {
  checkOptionNames('splitByTokens()', options, optionNames);
  const { maxTokens = model.maxLength, overlapTokens = 0, signal } = options;
  const { prefix, suffix } = model.tokenizer.specialTokens;
  const budget = maxTokens - prefix.length - suffix.length;
  if (maxTokens !== Infinity) checkCount(maxTokens, 'maxTokens');
  if (overlapTokens !== 0) checkCount(overlapTokens, 'overlapTokens');
  if (budget < 1 || overlapTokens >= budget) {
    const message = `Pieces of ${maxTokens} tokens have room for ${Math.max(0, budget)} of a text, which must be more than the overlap of ${overlapTokens}.`;
    throw new SentvecError('invalid-argument', message);
  }
  const counter = new TokenCounter(model, signal);
  const pieces: string[] = [];
  const words = await counter.words(text);
  for (let next = 0; next < words.length;) {
    throwIfAborted(signal);
    const { count, piece } = await longestPiece(text, words, next, budget, counter);
    pieces.push(piece);
    if (count > 0) {
      const end = next + count;
      next = end === words.length ? end : end - overlappingWords(words, next, end, overlapTokens);
    } else {
      // The word is larger than a piece: the rest of it is a word of its own.
      const { start, end } = words[next]!;
      const [tokens] = await counter.count([text.slice(start + piece.length, end)]);
      words[next] = { start: start + piece.length, end, tokens: tokens! };
    }
  }
  return pieces;
}

/** Counts tokens of texts, special ones aside. */
class TokenCounter {
  readonly #model: Pick<Embedder, 'tokenizer'>;
  readonly #signal: AbortSignal | undefined;

  constructor(model: Pick<Embedder, 'tokenizer'>, signal: AbortSignal | undefined) {
    this.#model = model;
    this.#signal = signal;
  }

  async count(texts: readonly string[]): Promise<number[]> {
    const options = { maxLength: 1, addSpecialTokens: false, signal: this.#signal };
    return (await this.#model.tokenizer.encode(texts, options)).map(({ length }) => length);
  }

  async words(text: string): Promise<Word[]> {
    const found = [...text.matchAll(/\S+/gu)].map(({ index, 0: word }) => ({
      start: index,
      end: index + word.length,
    }));
    // With the space that is before it in the text, which some tokenizers make part of the word.
    const counts = await this.count(found.map(({ start, end }) => (start === 0 ? '' : ' ') + text.slice(start, end)));
    return found.map((word, index) => ({ ...word, tokens: counts[index]! }));
  }
}

/**
 * The most words that fit by the sum of their tokens, fewer when the piece turns out longer than that; a part of the
 * first word when it does not fit alone.
 */
async function longestPiece(
  text: string,
  words: readonly Word[],
  first: number,
  budget: number,
  counter: TokenCounter,
): Promise<{ readonly count: number; readonly piece: string }> {
  const { start, end } = words[first]!;
  let count = 0;
  for (let tokens = 0; first + count < words.length; count += 1) {
    tokens += words[first + count]!.tokens;
    if (tokens > budget) break;
  }
  for (; count > 0; count -= 1) {
    const piece = text.slice(start, words[first + count - 1]!.end);
    if ((await counter.count([piece]))[0]! <= budget) return { count, piece };
  }
  return { count: 0, piece: await longestBeginning(text.slice(start, end), budget, counter) };
}

/**
 * The longest beginning of a word that fits, found by halving; at least one character, so that the text comes to an
 * end.
 */
async function longestBeginning(word: string, budget: number, counter: TokenCounter): Promise<string> {
  const characters = Array.from(word);
  let [fits, tooLong] = [1, characters.length];
  while (tooLong - fits > 1) {
    const middle = (fits + tooLong) >> 1;
    if ((await counter.count([characters.slice(0, middle).join('')]))[0]! <= budget) fits = middle;
    else tooLong = middle;
  }
  return characters.slice(0, fits).join('');
}

/** How many of the last words of a piece fit into the overlap; never all, so that the text comes to an end. */
function overlappingWords(words: readonly Word[], first: number, end: number, overlapTokens: number): number {
  let count = 0;
  for (let tokens = 0; count < end - first - 1; count += 1) {
    tokens += words[end - 1 - count]!.tokens;
    if (tokens > overlapTokens) break;
  }
  return count;
}
