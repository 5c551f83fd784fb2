// The search for added tokens, such as `[MASK]`, which splits a text before anything else tokenizes it.
import type { CharacterTest } from './pattern/character-classes.ts';
import type { AddedToken } from './tokenizer-json.ts';
import { Trie } from './models/trie.ts';
import { isSpace } from './unicode.ts';

/**
 * Finds added tokens in a text, from left to right, at each position the longest that starts there, as AddedVocabulary
 * of the Rust tokenizers does.
 */
export class AddedTokens {
  readonly #isWord: CharacterTest;
  readonly #trie = new Trie();
  readonly #tokens: AddedToken[] = [];
  /** By UTF-16 code unit, whether a token starts with it. */
  readonly #starts = new Uint8Array(2 ** 16);

  /**
   * @param spelling how a token is spelled in the text: normalized or not
   * @param isWord whether a character belongs to a word; called only for tokens with `single_word`
   */
  constructor(tokens: readonly AddedToken[], spelling: (content: string) => string, isWord: CharacterTest) {
    this.#isWord = isWord;
    const taken = new Set<string>();
    for (const token of tokens) {
      const text = spelling(token.content);
      // When two tokens are normalized to the same text, the token that is this text already wins.
      if (text === '' || (taken.has(text) && text !== token.content)) continue;
      taken.add(text);
      this.#starts[text.charCodeAt(0)] = 1;
      this.#trie.add(text, this.#tokens.push(token) - 1);
    }
  }

  /**
   * Three numbers for each token in a text: start and end, which include whitespace that belongs to the token, and id.
   * A token may begin before the end of the one before it, in whitespace.
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
      // A token of whitespace may lie within the whitespace that the token before it took: then it is dropped.
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
