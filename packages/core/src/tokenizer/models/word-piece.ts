import type { Component } from '../component.ts';
import { unknownCharacterError, type Model } from './model.ts';

type Vocabulary = Readonly<Record<string, number>>;

/**
 * The model `WordPiece`: greedy longest match from left to right (Wu et al. 2016, https://arxiv.org/abs/1609.08144). If
 * no token matches at some position, the whole word becomes the unknown token.
 */
export function createWordPiece(fields: Component, vocabulary: Vocabulary): Model {
  const unknownId = idOf(vocabulary, fields.string('unk_token'));
  const prefix = fields.string('continuing_subword_prefix');
  const maxWordLength = fields.wholeNumber('max_input_chars_per_word', 0);
  const beginnings = new Map(Object.entries(vocabulary));
  const continuations = new Map<string, number>();
  let maxTokenLength = 0;
  for (const [piece, id] of beginnings) {
    maxTokenLength = Math.max(maxTokenLength, piece.length);
    if (piece.startsWith(prefix)) continuations.set(piece.slice(prefix.length), id);
  }
  const pieces = (word: string): number[] | undefined => {
    const ids: number[] = [];
    for (let start = 0; start < word.length;) {
      const known = start === 0 ? beginnings : continuations;
      let end = Math.min(word.length, start + maxTokenLength);
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
    if (unknownId === undefined) throw unknownCharacterError();
    return [unknownId];
  };
}

/** The model `WordLevel`: each word is one token, or the unknown token. */
export function createWordLevel(fields: Component, vocabulary: Vocabulary): Model {
  const unknownId = idOf(vocabulary, fields.string('unk_token'));
  const ids = new Map(Object.entries(vocabulary));
  return (word) => {
    const id = ids.get(word) ?? unknownId;
    if (id === undefined) throw unknownCharacterError();
    return [id];
  };
}

function idOf(vocabulary: Vocabulary, piece: string): number | undefined {
  return Object.hasOwn(vocabulary, piece) ? vocabulary[piece] : undefined;
}
