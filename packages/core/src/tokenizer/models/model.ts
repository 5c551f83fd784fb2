import { UnreadableText } from '../unreadable-text.ts';

/**
 * Splits a word into tokens and returns their ids.
 * @throws UnreadableText when a character is not in the vocabulary and there is no unknown token
 */
export type Model = (word: string) => readonly number[];

/** Maximum number of words in the cache: enough for the common words of a language. */
const capacity = 2 ** 14;
/** Words with more UTF-16 code units are not cached, since they rarely occur again. */
const maxWordLength = 64;

/** Caches the tokens of words, since a few words make up most of a text. */
export function withCache(model: Model): Model {
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

/** The error for a text with characters that are not in a vocabulary without an unknown token. */
export function unknownCharacterError(): UnreadableText {
  return new UnreadableText(
    'has characters that are not in the vocabulary of the model, which has no unknown token. Remove them from the text.',
  );
}
