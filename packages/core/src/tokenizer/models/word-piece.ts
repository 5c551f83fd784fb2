import type { Component } from '../component.ts';
import { noUnknownToken, type Model } from './model.ts';

type Vocabulary = Readonly<Record<string, number>>;

/**
 * The model `WordPiece`: from the left, always the longest piece that fits (Wu et al. 2016,
 * https://arxiv.org/abs/1609.08144). A word in which no piece fits somewhere is unknown as a whole.
 */
export function createWordPiece(fields: Component, vocabulary: Vocabulary): Model {
  const unknownId = idOf(vocabulary, fields.string('unk_token'));
  const prefix = fields.string('continuing_subword_prefix');
  const maxWordLength = fields.wholeNumber('max_input_chars_per_word', 0);
  const beginnings = new Map(Object.entries(vocabulary));
  const continuations = new Map<string, number>();
  let longestPiece = 0;
  for (const [piece, id] of beginnings) {
    longestPiece = Math.max(longestPiece, piece.length);
    if (piece.startsWith(prefix)) continuations.set(piece.slice(prefix.length), id);
  }
  const pieces = (word: string): number[] | undefined => {
    const ids: number[] = [];
    for (let start = 0; start < word.length;) {
      const known = start === 0 ? beginnings : continuations;
      let end = Math.min(word.length, start + longestPiece);
      let id: number | undefined;
      while (end > start && (id = known.get(word.slice(start, end))) === undefined) end -= 1;
      if (id === undefined) return undefined;
      ids.push(id);
      start = end;
    }
    return ids;
  };
  return (word) => {
    const isTooLong = word.length > maxWordLength && Array.from(word).length > maxWordLength;
    const ids = isTooLong ? undefined : pieces(word);
    if (ids !== undefined) return ids;
    if (unknownId === undefined) throw noUnknownToken();
    return [unknownId];
  };
}

/** The model `WordLevel`: a word is a token, or unknown. */
export function createWordLevel(fields: Component, vocabulary: Vocabulary): Model {
  const unknownId = idOf(vocabulary, fields.string('unk_token'));
  const ids = new Map(Object.entries(vocabulary));
  return (word) => {
    const id = ids.get(word) ?? unknownId;
    if (id === undefined) throw noUnknownToken();
    return [id];
  };
}

function idOf(vocabulary: Vocabulary, piece: string): number | undefined {
  return Object.hasOwn(vocabulary, piece) ? vocabulary[piece] : undefined;
}
