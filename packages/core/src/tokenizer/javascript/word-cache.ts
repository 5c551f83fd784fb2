/** Words that are kept: enough for a language's common ones. */
const capacity = 2 ** 14;
/** Longer words do not come again. */
const longestWord = 64;

/** The tokens of words that were tokenized before. Few words make up most of a text. */
export class WordCache {
  readonly #tokens = new Map<string, string[]>();

  /** The tokens of a word, computed when they are not known. */
  get(word: string, compute: (word: string) => string[]): readonly string[] {
    const known = this.#tokens.get(word);
    if (known !== undefined) return known;
    const tokens = compute(word);
    if (word.length > longestWord) return tokens;
    if (this.#tokens.size >= capacity) this.#tokens.clear();
    this.#tokens.set(word, tokens);
    return tokens;
  }
}
