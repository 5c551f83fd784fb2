import type { TokenizerModel } from '../tokenizer-json.ts';
import type { LibraryModel } from './library.ts';
import { WordCache } from './word-cache.ts';

/**
 * The model `WordPiece`, in place of the library's, whose time grows with the cube of a word's length. The result is
 * what a model of the library is: a function from words to tokens, with the ids of the tokens.
 */
export function createWordPieceModel(model: TokenizerModel): LibraryModel {
  const ids = new Map(Object.entries(model.vocab as Readonly<Record<string, number>>));
  const unknown = (model['unk_token'] as string | undefined) ?? '[UNK]';
  const prefix = (model['continuing_subword_prefix'] as string | undefined) ?? '##';
  const longestWord = (model['max_input_chars_per_word'] as number | undefined) ?? 100;
  const longestPiece = [...ids.keys()].reduce((longest, piece) => Math.max(longest, piece.length), 0);
  const known = new WordCache();
  const encodeWord = (word: string): string[] => {
    if (word.length > longestWord && Array.from(word).length > longestWord) return [unknown];
    return longestPieces(word, ids, prefix, longestPiece) ?? [unknown];
  };
  const encode = (words: readonly string[]): string[] => words.flatMap((word) => known.get(word, encodeWord));
  return Object.assign(encode, { tokens_to_ids: ids, unk_token_id: ids.get(unknown) });
}

/** From the left, always the longest piece that fits (Wu et al. 2016); `undefined` when none fits somewhere. */
function longestPieces(
  word: string,
  ids: ReadonlyMap<string, number>,
  prefix: string,
  longestPiece: number,
): string[] | undefined {
  const pieces: string[] = [];
  for (let start = 0; start < word.length;) {
    const lead = start === 0 ? '' : prefix;
    let end = Math.min(word.length, start + longestPiece - lead.length);
    while (end > start && !ids.has(lead + word.slice(start, end))) end -= 1;
    if (end <= start) return undefined;
    pieces.push(lead + word.slice(start, end));
    start = end;
  }
  return pieces;
}
