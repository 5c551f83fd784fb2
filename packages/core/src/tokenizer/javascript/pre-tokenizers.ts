import type { TokenizerComponent } from '../tokenizer-json.ts';
import { newerWordCharacters, punctuation, whitespace } from './character-classes.ts';
import type { LibraryPreTokenizer } from './library.ts';

const bertWords = new RegExp(`[^${whitespace}${punctuation}]+|[${punctuation}]`, 'gu');
const nonWhitespace = new RegExp(`[^${whitespace}]+`, 'gu');
const punctuationMark = new RegExp(`[${punctuation}]`, 'gu');

const newer = `[${newerWordCharacters}]`;
const letter = `[\\p{L}--${newer}]`;
const number = `[\\p{N}--${newer}]`;
const wordCharacter = `[[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]--${newer}]`;
const numeral = new RegExp(number, 'gv');
const numerals = new RegExp(`${number}+`, 'gv');
const wordsOrSymbols = new RegExp(`${wordCharacter}+|[^${whitespace}${wordCharacter}]+`, 'gv');

/** The pattern of GPT-2, with the whitespace and the letters of the original. */
const byteLevelWords = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?${letter}+| ?${number}+| ?[^${whitespace}${letter}${number}]+|${whitespace}+(?![^${whitespace}])|${whitespace}+`,
  'gv',
);

/** What becomes of the separators that a pattern finds: the names of the Rust tokenizers. */
type SplitBehavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';

/**
 * Makes a pre-tokenizer of the library cut where its original in Rust cuts, in the places where it does not:
 * whitespace, words and digits outside ASCII, punctuation of other versions of Unicode, the behaviours of Split, the
 * cuts of Metaspace.
 */
export function correctPreTokenizer(preTokenizer: LibraryPreTokenizer | null, config: TokenizerComponent | null): void {
  if (preTokenizer === null || config === null) return;
  const steps = config['pretokenizers'] as readonly TokenizerComponent[] | undefined;
  if (config.type === 'Sequence')
    preTokenizer.tokenizers?.forEach((step, index) => correctPreTokenizer(step, steps?.[index] ?? null));
  else
    preTokenizer.pre_tokenize_text =
      correctedSplit(preTokenizer, config) ?? preTokenizer.pre_tokenize_text.bind(preTokenizer);
}

function correctedSplit(
  preTokenizer: LibraryPreTokenizer,
  config: TokenizerComponent,
): LibraryPreTokenizer['pre_tokenize_text'] | undefined {
  switch (config.type) {
    case 'BertPreTokenizer':
      return (text) => text.match(bertWords) ?? [];
    case 'Whitespace':
      return (text) => text.match(wordsOrSymbols) ?? [];
    case 'WhitespaceSplit':
      return (text) => text.match(nonWhitespace) ?? [];
    case 'ByteLevel':
      preTokenizer.pattern = byteLevelWords;
      return undefined;
    case 'Digits':
      return (text) => splitAt(text, config['individual_digits'] ? numeral : numerals, 'Isolated', false);
    case 'Punctuation':
      return (text) =>
        splitAt(text, punctuationMark, (config['behavior'] as SplitBehavior | undefined) ?? 'Isolated', false);
    case 'Split':
      return patternSplit(preTokenizer, config);
    case 'Metaspace':
      return config['split'] === false
        ? undefined
        : metaspaceSplit(preTokenizer, (config['replacement'] as string | undefined) ?? '▁');
    default:
      return undefined;
  }
}

function patternSplit(
  { pattern }: LibraryPreTokenizer,
  config: TokenizerComponent,
): LibraryPreTokenizer['pre_tokenize_text'] | undefined {
  const { behavior, invert } = config as { readonly behavior?: SplitBehavior; readonly invert?: boolean };
  return pattern && behavior ? (text) => splitAt(text, pattern, behavior, invert ?? false) : undefined;
}

/** Puts the replacement for spaces, and cuts before each. */
function metaspaceSplit(
  preTokenizer: LibraryPreTokenizer,
  replacement: string,
): LibraryPreTokenizer['pre_tokenize_text'] {
  const replace = preTokenizer.pre_tokenize_text.bind(preTokenizer);
  return (text, options) => [replace(text, options)].flat().flatMap((piece) => cutBefore(piece, replacement));
}

function cutBefore(text: string, mark: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  for (let next = text.indexOf(mark, 1); next !== -1; next = text.indexOf(mark, next + 1)) {
    pieces.push(text.slice(start, next));
    start = next;
  }
  pieces.push(text.slice(start));
  return pieces;
}

/**
 * Cuts a text at the matches of a pattern.
 * @param invert the matches are the parts to keep, and what lies between them separates
 */
function splitAt(text: string, pattern: RegExp, behavior: SplitBehavior, invert: boolean): string[] {
  const parts: { readonly text: string; readonly separates: boolean }[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) parts.push({ text: text.slice(end, match.index), separates: invert });
    if (match[0] !== '') parts.push({ text: match[0], separates: !invert });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), separates: invert });
  return joinSeparators(parts, behavior);
}

function joinSeparators(
  parts: readonly { readonly text: string; readonly separates: boolean }[],
  behavior: SplitBehavior,
): string[] {
  const pieces: string[] = [];
  let previous: boolean | undefined;
  for (const { text, separates } of parts) {
    const joins =
      (behavior === 'MergedWithPrevious' && separates && previous === false) ||
      (behavior === 'MergedWithNext' && !separates && previous === true) ||
      (behavior === 'Contiguous' && separates === previous);
    if (behavior === 'Removed' && separates) continue;
    if (joins) pieces[pieces.length - 1] += text;
    else pieces.push(text);
    previous = separates;
  }
  return pieces;
}
