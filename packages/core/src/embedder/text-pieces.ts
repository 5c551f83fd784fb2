// Splits texts that are longer than the model reads into pieces, measured in tokens of the model's own tokenizer.
import { checkCount, checkOptionNames, shouldYield, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import { SentvecError, throwIfAborted } from '../errors.ts';
import type { Embedder } from './embedder-types.ts';
import { breakStrength, partsOf, sentenceBreaks, wordsOf, type WordSpan } from './text-breaks.ts';

/** A piece of a text. `start` and `end` are its position: `wholeText.slice(start, end) === piece.text`. */
export interface TextPiece {
  readonly text: string;
  /** In UTF-16 code units. */
  readonly start: number;
  readonly end: number;
  /** Number of tokens of the piece, without special tokens and prompt. */
  readonly tokens: number;
}

/** Options of {@link splitByTokens} and {@link splitBySentences}. */
export interface SplitOptions {
  /**
   * The most tokens of a piece, special tokens and prompt included.
   * @default the maximum length of the model
   */
  readonly maxTokens?: number | undefined;
  /**
   * The most tokens that a piece repeats from the end of the one before. Only whole words or sentences are repeated.
   * @default 0
   */
  readonly overlapTokens?: number | undefined;
  /**
   * Text of the prompt that is put before each piece when it is embedded. It counts towards `maxTokens`.
   * @default none
   */
  readonly promptText?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const optionNames: OptionNames<SplitOptions> = {
  maxTokens: true,
  overlapTokens: true,
  promptText: true,
  signal: true,
};

/** The members of an embedder that splitting needs. */
export type SplittingModel = Pick<Embedder, 'tokenizer' | 'maxLength'>;

/** Where pieces end: at any word, or after whole sentences where they fit. */
export type SplitBy = 'tokens' | 'sentences';

/**
 * Splits a long text into pieces that the model reads without truncation. Each piece is a substring of the text with as
 * many whole words as fit. Together the pieces contain the whole text except white space between them and text that the
 * tokenizer makes no token of. A word that does not fit into a piece is cut between characters.
 * @param model whose tokenizer counts
 * @returns no pieces for a text without words
 * @throws SentvecError `invalid-argument` when special tokens, prompt and overlap leave no room in a piece; `aborted`
 * @example
 * const pieces = await splitByTokens(text, embedder, { maxTokens: 256, overlapTokens: 32 });
 * for (const { start, end } of pieces) console.log(text.slice(start, end));
 */
export async function splitByTokens(
  text: string,
  model: SplittingModel,
  options: SplitOptions = {},
): Promise<TextPiece[]> {
  checkOptionNames('splitByTokens()', options, optionNames);
  return (await splitTexts([text], model, 'tokens', options))[0]!;
}

/**
 * Splits a long text into pieces that the model reads without truncation, each with as many whole sentences as fit.
 * Preferred places to cut are before a Markdown heading and after a paragraph. A heading stays with the text that
 * follows it. Sentences follow UAX 29 (`Intl.Segmenter`). A sentence that does not fit into a piece is cut as
 * {@link splitByTokens} does. Pieces overlap by whole sentences only, and not across a heading.
 * @param model whose tokenizer counts
 * @returns no pieces for a text without words
 * @throws SentvecError `invalid-argument` when special tokens, prompt and overlap leave no room in a piece; `aborted`
 */
export async function splitBySentences(
  text: string,
  model: SplittingModel,
  options: SplitOptions = {},
): Promise<TextPiece[]> {
  checkOptionNames('splitBySentences()', options, optionNames);
  return (await splitTexts([text], model, 'sentences', options))[0]!;
}

/** The pieces of each of many texts: see {@link splitByTokens} and {@link splitBySentences}. */
export async function splitTexts(
  texts: readonly string[],
  model: SplittingModel,
  by: SplitBy,
  options: SplitOptions,
): Promise<TextPiece[][]> {
  const splitter = await TextSplitter.create(model, by, options);
  const whole = texts.filter((text) => splitter.mayFit(text));
  const counts = await splitter.count(whole);
  const tokens = new Map(whole.map((text, index) => [text, counts[index]!]));
  const pieces: TextPiece[][] = [];
  for (const text of texts) {
    if (shouldYield()) await yieldToEventLoop();
    const count = tokens.get(text) ?? Infinity;
    pieces.push(count <= splitter.budget ? wholeText(text, count) : await splitter.split(text));
  }
  return pieces;
}

function wholeText(text: string, tokens: number): TextPiece[] {
  const start = text.length - text.trimStart().length;
  const end = text.trimEnd().length;
  return start >= end || tokens === 0 ? [] : [{ text: text.slice(start, end), start, end, tokens }];
}

/** A word, and its number of tokens in its context (with a space before it, if there is one). */
interface Word extends WordSpan {
  readonly tokens: number;
}

/** How many consecutive words, and how many tokens they have together. */
interface WordRun {
  readonly count: number;
  readonly tokens: number;
}

/** Counts tokens and cuts texts by them. */
class TextSplitter {
  /** Number of tokens of the text that fit into a piece. */
  readonly budget: number;
  readonly #by: SplitBy;
  readonly #model: SplittingModel;
  readonly #overlap: number;
  readonly #prompt: string;
  readonly #promptTokens: number;
  readonly #signal: AbortSignal | undefined;

  private constructor(model: SplittingModel, by: SplitBy, options: SplitOptions, promptTokens: number) {
    const { maxTokens = model.maxLength, overlapTokens = 0, promptText = '', signal } = options;
    if (maxTokens !== Infinity) checkCount(maxTokens, 'maxTokens');
    checkCount(overlapTokens, 'overlapTokens', 0);
    const { prefix, suffix } = model.tokenizer.specialTokens;
    this.budget = maxTokens - prefix.length - suffix.length - promptTokens;
    this.#by = by;
    this.#model = model;
    this.#overlap = overlapTokens;
    this.#prompt = promptText;
    this.#promptTokens = promptTokens;
    this.#signal = signal;
    if (this.budget >= 1 && overlapTokens < this.budget) return;
    const message = `With maxTokens ${maxTokens}, special tokens and prompt leave room for ${Math.max(0, this.budget)} tokens of the text in a piece; that must be more than the overlap of ${overlapTokens}. Set a larger maxTokens or a smaller overlapTokens.`;
    throw new SentvecError('invalid-argument', message);
  }

  static async create(model: SplittingModel, by: SplitBy, options: SplitOptions): Promise<TextSplitter> {
    const { promptText = '', signal } = options;
    // Most tokenizers make white space at the end of a prompt part of the first word: counted here, it would be one
    // more token.
    const words = promptText.trimEnd();
    const [tokens] = words === '' ? [0] : await countTokens(model, [words], signal);
    return new TextSplitter(model, by, options, tokens!);
  }

  /**
   * Whether the text is short enough that it may fit into one piece: its tokens are then counted at once, before it is
   * split into words.
   */
  mayFit(text: string): boolean {
    return text.length <= 16 * this.budget;
  }

  /** Number of tokens of each text, without special tokens and prompt. */
  async count(texts: readonly string[]): Promise<number[]> {
    if (this.#prompt === '') return countTokens(this.#model, texts, this.#signal);
    const prompted = texts.map((text) => this.#prompt + text);
    const counts = await countTokens(this.#model, prompted, this.#signal);
    const beyond = counts.map((tokens) => tokens - this.#promptTokens);
    // A text that was merged into the last token of the prompt still counts as one token.
    const merged = texts.filter((_, index) => beyond[index]! <= 0);
    const own = (await countTokens(this.#model, merged, this.#signal)).values();
    return beyond.map((tokens) => (tokens > 0 ? tokens : Math.min(1, own.next().value!)));
  }

  async split(text: string): Promise<TextPiece[]> {
    const words = await this.#measure(text, wordsOf(text, this.#by === 'sentences' ? sentenceBreaks(text) : []));
    const pieces: TextPiece[] = [];
    let first = 0;
    let covered = 0;
    while (covered < words.length) {
      throwIfAborted(this.#signal);
      if (shouldYield()) await yieldToEventLoop();
      const longest = await this.#longestRun(text, words, first);
      if (first + longest.count <= covered) {
        if (first === covered) words.splice(first, 1, ...(await this.#measure(text, partsOf(text, words[first]!))));
        first = covered;
        continue;
      }
      const run = await this.#cutAtBreak(text, words, first, covered, longest);
      const { start, end } = spanOf(words, first, run.count);
      if (run.tokens > 0) pieces.push({ text: text.slice(start, end), start, end, tokens: run.tokens });
      covered = first + run.count;
      first = covered === words.length ? covered : this.#overlapStart(words, first, covered);
    }
    return pieces;
  }

  /** Counts the tokens of each word. Words that do not fit into a piece are replaced by their parts. */
  async #measure(text: string, spans: readonly WordSpan[]): Promise<Word[]> {
    // A word after white space is counted with a space before it, since some tokenizers make the space part of the
    // word.
    const alone = spans.map(
      ({ start, end }) => (/\s/u.test(text[start - 1] ?? '') ? ' ' : '') + text.slice(start, end),
    );
    const distinct = [...new Set(alone)];
    const counts = await countTokens(this.#model, distinct, this.#signal);
    const tokens = new Map(distinct.map((word, index) => [word, counts[index]!]));
    const words: Word[] = [];
    for (const [index, span] of spans.entries()) {
      const count = tokens.get(alone[index]!)!;
      const parts = count > this.budget ? partsOf(text, span) : [];
      if (parts.length <= 1) words.push({ ...span, tokens: count });
      else for (const part of await this.#measure(text, parts)) words.push(part);
    }
    return words;
  }

  /**
   * The most words that fit into a piece. The sum of the words' token counts is only an estimate: tokenized together
   * they may have fewer or more tokens.
   * @returns a run of 0 words when the first word does not fit and can be cut
   */
  async #longestRun(text: string, words: readonly Word[], first: number): Promise<WordRun> {
    let fits: WordRun = { count: 0, tokens: 0 };
    let tooMany = words.length - first + 1;
    let count = Math.max(1, wordsWithin(words, first, this.budget));
    while (count > fits.count && count < tooMany) {
      const run = await this.#runOf(text, words, first, count);
      const sum = tokensOf(words, first, count);
      if (run.tokens <= this.budget) {
        fits = run;
        const room = (this.budget - run.tokens) * Math.max(1, sum / Math.max(1, run.tokens));
        count = Math.min(tooMany - 1, count + wordsWithin(words, first + count, room));
      } else {
        if (count === 1 && partsOf(text, words[first]!).length === 1) return run;
        tooMany = count;
        count = Math.max(fits.count + 1, wordsWithin(words, first, sum - (run.tokens - this.budget)));
        count = Math.min(count, tooMany - 1);
      }
    }
    return fits;
  }

  async #runOf(text: string, words: readonly Word[], first: number, count: number): Promise<WordRun> {
    const { start, end } = spanOf(words, first, count);
    const [tokens] = await this.count([text.slice(start, end)]);
    return { count, tokens: tokens! };
  }

  /**
   * Shortens a run to the best place to cut: before its last heading; otherwise after its last paragraph, if at least
   * half of the run remains; otherwise after its last sentence. The result contains at least one word that no earlier
   * piece contains.
   */
  async #cutAtBreak(
    text: string,
    words: readonly Word[],
    first: number,
    covered: number,
    longest: WordRun,
  ): Promise<WordRun> {
    if (this.#by === 'tokens' || first + longest.count === words.length) return longest;
    const lastBreak = (strength: number, least: number): number | undefined => {
      for (let count = longest.count; count >= least; count -= 1)
        if (words[first + count]!.strength >= strength) return count;
      return undefined;
    };
    const least = covered - first + 1;
    const half = wordsWithin(words, first, tokensOf(words, first, longest.count) / 2) + 1;
    const count =
      lastBreak(breakStrength.heading, least) ??
      lastBreak(breakStrength.paragraph, Math.max(least, half)) ??
      lastBreak(breakStrength.sentence, least);
    return count === undefined || count === longest.count ? longest : this.#runOf(text, words, first, count);
  }

  /**
   * Index of the first word of the next piece, given a piece with the words from `first` up to, but not including,
   * `end`.
   */
  #overlapStart(words: readonly Word[], first: number, end: number): number {
    if (this.#overlap === 0 || words[end]!.strength === breakStrength.heading) return end;
    const least = this.#by === 'sentences' ? breakStrength.sentence : breakStrength.word;
    let start = end;
    let tokens = 0;
    for (let at = end - 1; at > first; at -= 1) {
      tokens += words[at]!.tokens;
      if (tokens > this.#overlap) break;
      if (words[at]!.strength >= least) start = at;
    }
    return start;
  }
}

/** Number of tokens of each text, without special tokens. */
async function countTokens(
  { tokenizer }: SplittingModel,
  texts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const options = { maxLength: 1, addSpecialTokens: false, signal };
  return (await tokenizer.encode(texts, options)).map(({ length }) => length);
}

/** How many words, from index `first` on, have at most `tokens` tokens in total, by the sum of their counts. */
function wordsWithin(words: readonly Word[], first: number, tokens: number): number {
  let count = 0;
  for (let sum = 0; first + count < words.length; count += 1) {
    sum += words[first + count]!.tokens;
    if (sum > tokens) break;
  }
  return count;
}

function tokensOf(words: readonly Word[], first: number, count: number): number {
  let sum = 0;
  for (let at = first; at < first + count; at += 1) sum += words[at]!.tokens;
  return sum;
}

function spanOf(words: readonly Word[], first: number, count: number): { start: number; end: number } {
  return { start: words[first]!.start, end: words[first + count - 1]!.end };
}
