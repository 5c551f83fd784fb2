/**
 * Reproducible random regular expressions with the syntax that patterns in a `tokenizer.json` use, and texts for them.
 */
import type { Random } from './random-tokenizers.ts';

/**
 * A `tokenizer.json` that splits by `pattern` into characters; ids show the split because the last character of each
 * piece has an id of its own.
 */
export function splittingTokenizer(pattern: string, behavior: string): string {
  const characters = Array.from(new Set("abcAB12 \n\réÉ中😀's_.e\u0301ſ"));
  const vocab = Object.fromEntries(
    characters.flatMap((each) => [each, `${each}<end>`]).map((piece, id) => [piece, id]),
  );
  return JSON.stringify({
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior, invert: false },
    model: { type: 'BPE', unk_token: null, end_of_word_suffix: '<end>', vocab, merges: [] },
  });
}

/** Expressions that match a character. */
export const atoms = [
  'a',
  'b',
  '1',
  ' ',
  '.',
  '\\w',
  '\\d',
  '\\s',
  '\\S',
  '\\W',
  '\\p{L}',
  '\\p{Lu}',
  '\\P{L}',
  '[ab]',
  '[^ab]',
  '[a-c1]',
  '\\n',
  '[^\\s\\p{L}\\p{N}]',
  'é',
  '中',
  '😀',
  '[[:alpha:]]',
  '[\\p{L}&&[^a]]',
  '\\p{N}',
  '\\h',
  "'",
  '[\\r\\n]',
  '\\R',
  '\\p{M}',
  '\\x{e9}',
];
/** Quantifiers. */
export const quantifiers = [
  '*',
  '+',
  '?',
  '*?',
  '+?',
  '??',
  '*+',
  '++',
  '{2}',
  '{1,2}',
  '{2,}',
  '{,2}',
  '{2}?',
  '{1,2}+',
];

/** A random regular expression with groups up to `depth` levels deep. */
export function randomPattern(random: Random, depth: number): string {
  const sequences = random.list(1, 3, () =>
    random
      .list(1, 3, () => {
        const kind = random.next();
        if (depth === 0 || kind < 0.5) return random.pick(atoms) + (random.chance(0.4) ? random.pick(quantifiers) : '');
        if (kind < 0.6) return random.pick(['^', '$', '\\b', '\\B', '\\A', '\\z', '\\Z']);
        const open = random.pick(['(', '(?:', '(?>', '(?i:', '(?=', '(?!', '(?<=', '(?<!']);
        const repeats = !/[=!]$/u.test(open) && random.chance();
        return `${open}${randomPattern(random, depth - 1)})${repeats ? random.pick(quantifiers) : ''}`;
      })
      .join(''),
  );
  return sequences.join('|');
}

const characters = [
  'a',
  'b',
  'c',
  'A',
  'B',
  '1',
  '2',
  ' ',
  ' ',
  '\n',
  '\r',
  'é',
  'É',
  '中',
  '😀',
  "'",
  's',
  '_',
  '.',
  'e\u0301',
  'ſ',
];

/** A random text of 1 to 14 characters, which belong to different character classes. */
export function randomPatternText(random: Random): string {
  return random.list(1, 14, () => random.pick(characters)).join('');
}
