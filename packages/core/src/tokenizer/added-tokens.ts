// Finds added tokens, such as `[MASK]`, in a text. The text between them is then tokenized.
import type { CharacterTest } from './pattern/character-classes.ts';
import type { AddedToken } from './tokenizer-json.ts';
import { Trie } from './models/trie.ts';
import { isSpace } from './unicode.ts';

/**
 * Finds added tokens in a text from left to right; of several tokens that start at the same position, the longest one.
 * Follows `AddedVocabulary` of the Rust tokenizers.
 */
export class AddedTokens {
  readonly #isWord: CharacterTest;
  readonly #trie = new Trie();
  readonly #tokens: AddedToken[] = [];
  /** For each UTF-16 code unit, 1 if a token starts with it. */
  readonly #starts = new Uint8Array(2 ** 16);

  /**
   * @param spelling gives the form in which a token occurs in the text: normalized or not
   * @param isWord whether a character belongs to a word; called only for tokens with `single_word`
   */
  constructor(tokens: readonly AddedToken[], spelling: (content: string) => string, isWord: CharacterTest) {
    this.#isWord = isWord;
    const taken = new Set<string>();
    for (const token of tokens) {
      const text = spelling(token.content);
      // If two tokens normalize to the same text, the one whose content is already normalized takes precedence.
      if (text === '' || (taken.has(text) && text !== token.content)) continue;
      taken.add(text);
      this.#starts[text.charCodeAt(0)] = 1;
      this.#trie.add(text, this.#tokens.push(token) - 1);
    }
  }

  /**
   * Returns three numbers for each token that was found: start, end and id. Start and end include white space that the
   * token strips (`lstrip`, `rstrip`), so tokens may overlap there.
   */
  find(text: string): number[] {
    const found: number[] = [];
    let taken = 0;
    for (let at = 0; at < text.length;) {
      const match = this.#starts[text.charCodeAt(at)] === 1 ? this.#longestAt(text, at) : undefined;
      if (match === undefined) {
        at += 1;
        continue;
      }
      const { token, end: matchEnd } = match;
      let start = at;
      let end = matchEnd;
      at = end;
      if (token.single_word && (this.#isWordBefore(text, start) || this.#isWord(text.codePointAt(end) ?? -1))) continue;
      if (token.lstrip) {
        while (start > 0 && isSpace(text.charCodeAt(start - 1))) start -= 1;
        start = Math.max(start, taken);
      }
      if (token.rstrip) while (end < text.length && isSpace(text.charCodeAt(end))) end += 1;
      // A token that consists of white space is dropped if the token before it has stripped this white space.
      if (end > start) found.push(start, end, token.id);
      taken = end;
    }
    return found;
  }

  #longestAt(text: string, start: number): { readonly token: AddedToken; readonly end: number } | undefined {
    let match: { readonly token: AddedToken; readonly end: number } | undefined;
    let node = 0;
    for (let end = start; end < text.length;) {
      node = this.#trie.next(node, text.charCodeAt(end));
      if (node === -1) break;
      end += 1;
      const value = this.#trie.valueAt(node);
      if (value !== -1) match = { token: this.#tokens[value]!, end };
    }
    return match;
  }

  #isWordBefore(text: string, at: number): boolean {
    if (at === 0) return false;
    const unit = text.charCodeAt(at - 1);
    const isPair = unit >= 0xdc00 && unit < 0xe000;
    return this.#isWord(text.codePointAt(isPair ? at - 2 : at - 1)!);
  }
}
