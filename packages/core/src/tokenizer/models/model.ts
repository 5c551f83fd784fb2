import { UnreadableText } from '../unreadable-text.ts';

/**
 * Splits a word into tokens and returns their ids.
 * @throws UnreadableText when a part of it is not in the vocabulary, which has no unknown token either
 */
export type Model = (word: string) => readonly number[];

/** The most words whose tokens are cached: enough for the common words of a language. */
const capacity = 2 ** 14;
/** Longer words are not cached: they seldom occur again. */
const maxWordLength = 64;

/** Caches the tokens of words: few words make up most of a text. */
export function remembering(model: Model): Model {
  const known = new Map<string, readonly number[]>();
  return (word) => {
    const ids = known.get(word);
    if (ids !== undefined) return ids;
    const found = model(word);
    if (word.length > maxWordLength) return found;
    if (known.size >= capacity) known.clear();
    known.set(word, found);
    return found;
  };
}

/** The error of a text with characters for which the vocabulary has neither a piece nor the unknown token. */
export function noUnknownToken(): UnreadableText {
  return new UnreadableText(
    'has characters that are not in the vocabulary of the model, which has no token for unknown ones. Leave them out.',
  );
}
