/**
 * The pre-tokenizers of a `tokenizer.json`, which split a normalized text into words; the model then splits words into
 * tokens (https://github.com/huggingface/tokenizers, `pre_tokenizers/`).
 */
import { bytesAsCharacters } from './byte-level.ts';
import { compilePattern, type Component } from './component.ts';
import { checkLength, literalMatches } from './normalizers.ts';
import type { CharacterTest } from './pattern/character-classes.ts';
import { prepend, slice, slices, type Piece } from './piece.ts';
import { isSpace, numerals, punctuation, whitespace } from './unicode.ts';

/**
 * Splits pieces into smaller ones, none of which is empty.
 * @throws UnreadableText when their total length exceeds `maxLength`, or when a pattern takes too long
 */
export type PreTokenizer = (pieces: Piece[], maxLength: number) => Piece[];

const bertWords = new RegExp(`[^${whitespace}${punctuation}]+|[${punctuation}]`, 'gu');
const nonWhitespace = new RegExp(`[^${whitespace}]+`, 'gu');
const punctuationMark = new RegExp(`[${punctuation}]`, 'gu');
const numeral = new RegExp(`[${numerals}]`, 'gu');

/**
 * The pattern of GPT-2, which splits a text into words, numbers, punctuation and white space; a space before a word
 * belongs to the word.
 */
const byteLevelWords = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** What to do with the separators that a pattern matches. */
type SplitBehavior = (typeof behaviors)[number];
const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;

/** @throws SentvecError `invalid-model`, `unsupported-model` */
export async function createPreTokenizer(component: Component): Promise<PreTokenizer> {
  switch (component.type) {
    case 'BertPreTokenizer':
      return split((piece) => slices(piece, piece.text.match(bertWords) ?? []));
    case 'ByteLevel':
      return byteLevel(component);
    case 'CharDelimiterSplit': {
      const delimiter = component.character('delimiter');
      return split((piece) => slices(piece, piece.text.split(delimiter)));
    }
    case 'Digits': {
      const behavior = component.boolean('individual_digits') ? 'Isolated' : 'Contiguous';
      return split((piece) => delimit(piece, expressionMatches(piece.text, numeral), behavior, false));
    }
    case 'FixedLength': {
      const pieces = new RegExp(`[^]{1,${Math.min(component.wholeNumber('length', 1, 5), 2 ** 30)}}`, 'gu');
      return split((piece) => slices(piece, piece.text.match(pieces) ?? []));
    }
    case 'Metaspace':
      return metaspace(component);
    case 'Punctuation': {
      const behavior = component.oneOf('behavior', behaviors, 'Isolated');
      return split((piece) => delimit(piece, expressionMatches(piece.text, punctuationMark), behavior, false));
    }
    case 'Sequence': {
      const steps = await Promise.all(component.list('pretokenizers').map(createPreTokenizer));
      return (pieces, maxLength) => steps.reduce((parts, step) => step(parts, maxLength), pieces);
    }
    case 'Split':
      return splitByPattern(component);
    case 'UnicodeScripts': {
      const { scriptOf } = await import('./unicode-categories.ts');
      return split((piece) => splitByScript(piece, scriptOf));
    }
    case 'Whitespace': {
      const { isRegexWord } = await import('./pattern/character-classes.ts');
      return split((piece) => splitWordsAndMarks(piece, isRegexWord));
    }
    case 'WhitespaceSplit':
      return split((piece) => slices(piece, piece.text.match(nonWhitespace) ?? []));
    default:
      throw component.unknown(
        'BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, Punctuation, Sequence, Split, UnicodeScripts, Whitespace and WhitespaceSplit',
      );
  }
}

/** Whether the result depends on which piece begins the text, as for Metaspace with the scheme `first`. */
export function dependsOnStart(component: Component): boolean {
  if (component.type === 'Sequence') return component.list('pretokenizers').some(dependsOnStart);
  return component.type === 'Metaspace' && component.oneOf('prepend_scheme', prependSchemes, 'always') === 'first';
}

/** A pre-tokenizer that splits pieces one by one. Empty parts are left out. */
function split(parts: (piece: Piece) => readonly Piece[]): PreTokenizer {
  return (pieces) => {
    const result: Piece[] = [];
    for (const piece of pieces) for (const part of parts(piece)) if (part.text !== '') result.push(part);
    return result;
  };
}

function checkTotal(pieces: Piece[], maxLength: number): Piece[] {
  let total = 0;
  for (const { text } of pieces) total += text.length;
  checkLength(total, maxLength);
  return pieces;
}

async function byteLevel(component: Component): Promise<PreTokenizer> {
  const addsSpace = component.boolean('add_prefix_space');
  component.boolean('trim_offsets');
  const words = component.boolean('use_regex', true) ? await compilePattern(byteLevelWords) : undefined;
  const toCharacters = split((piece) => {
    if (addsSpace && !piece.text.startsWith(' ')) prepend(piece, ' ');
    const parts = words ? delimit(piece, words.matches(piece.text), 'Isolated', false) : [piece];
    for (const part of parts) {
      if (part.lead > 0) part.lead = bytesAsCharacters(part.text.slice(0, part.lead)).length;
      part.text = bytesAsCharacters(part.text);
    }
    return parts;
  });
  return (pieces, maxLength) => checkTotal(toCharacters(pieces, maxLength), maxLength);
}

const prependSchemes = ['always', 'first', 'never'] as const;

/** Replaces spaces by a mark, and splits before each mark. */
function metaspace(component: Component): PreTokenizer {
  const mark = component.character('replacement');
  const scheme = component.oneOf('prepend_scheme', prependSchemes, 'always');
  const splits = component.optionalBoolean('split') ?? true;
  if (component.optionalBoolean('add_prefix_space') === false && scheme !== 'never')
    throw component.invalid(`has "add_prefix_space": false, which contradicts the "prepend_scheme" ${scheme}`);
  const marked = split((piece) => {
    const isFirst = piece.lead > 0;
    if (mark.length > 1 && isFirst) piece.lead = piece.text.slice(0, piece.lead).replaceAll(' ', mark).length;
    piece.text = piece.text.replaceAll(' ', mark);
    if ((scheme === 'always' || (scheme === 'first' && isFirst)) && !piece.text.startsWith(mark)) prepend(piece, mark);
    return splits ? splitBefore(piece, mark) : [piece];
  });
  return (pieces, maxLength) => checkTotal(marked(pieces, maxLength), maxLength);
}

function splitBefore(piece: Piece, mark: string): Piece[] {
  const { text } = piece;
  const parts: Piece[] = [];
  let start = 0;
  for (let next = text.indexOf(mark, 1); next !== -1; next = text.indexOf(mark, next + 1)) {
    parts.push(slice(piece, start, next));
    start = next;
  }
  parts.push(slice(piece, start, text.length));
  return parts;
}

async function splitByPattern(component: Component): Promise<PreTokenizer> {
  const pattern = await component.pattern('pattern');
  const behavior = component.oneOf('behavior', behaviors);
  const inverted = component.boolean('invert');
  const matchesOf = (text: string): number[] =>
    typeof pattern === 'string' ? literalMatches(text, pattern) : pattern.matches(text);
  return split((piece) => delimit(piece, matchesOf(piece.text), behavior, inverted));
}

/** Start and end of each match of an expression with the flag `g`. */
function expressionMatches(text: string, expression: RegExp): number[] {
  const matches: number[] = [];
  for (const match of text.matchAll(expression)) matches.push(match.index, match.index + match[0].length);
  return matches;
}

/**
 * Splits a piece at matches.
 * @param inverted whether the text between matches is the separator, and the matches are the content
 */
function delimit(piece: Piece, matches: readonly number[], behavior: SplitBehavior, inverted: boolean): Piece[] {
  const { text } = piece;
  const parts: Piece[] = [];
  const bounds: number[] = [];
  let separated: boolean | undefined;
  const add = (start: number, end: number, separates: boolean): void => {
    const joins =
      (behavior === 'MergedWithPrevious' && separates && separated === false) ||
      (behavior === 'MergedWithNext' && !separates && separated === true) ||
      (behavior === 'Contiguous' && separates === separated);
    if (joins) bounds[bounds.length - 1] = end;
    else if (!(behavior === 'Removed' && separates)) bounds.push(start, end);
    separated = separates;
  };
  let end = 0;
  for (let index = 0; index < matches.length; index += 2) {
    const start = matches[index]!;
    if (start > end) add(end, start, inverted);
    end = matches[index + 1]!;
    add(start, end, !inverted);
  }
  if (end < text.length) add(end, text.length, inverted);
  for (let index = 0; index < bounds.length; index += 2) parts.push(slice(piece, bounds[index]!, bounds[index + 1]!));
  return parts;
}

/** Splits a piece into words and runs of punctuation, without the white space between them. */
function splitWordsAndMarks(piece: Piece, isWord: CharacterTest): Piece[] {
  const { text } = piece;
  const parts: Piece[] = [];
  let start = 0;
  let kind = 0;
  for (let at = 0; at <= text.length;) {
    const code = text.codePointAt(at);
    const next = code === undefined || isSpace(code) ? 0 : isWord(code) ? 1 : 2;
    if (next !== kind) {
      if (kind !== 0) parts.push(slice(piece, start, at));
      start = at;
      kind = next;
    }
    at += code !== undefined && code > 0xffff ? 2 : 1;
  }
  return parts;
}

/**
 * Splits where the script changes. A character that belongs to any script stays with those before it; at the start it
 * is dropped, as in the Rust tokenizers.
 */
function splitByScript(piece: Piece, scriptOf: (code: number) => number): Piece[] {
  const { text } = piece;
  const parts: Piece[] = [];
  let start = -1;
  let script = 0;
  for (let at = 0; at < text.length;) {
    const code = text.codePointAt(at)!;
    const next = scriptOf(code);
    if (next !== 0 && next !== script) {
      if (start !== -1) parts.push(slice(piece, start, at));
      start = at;
      script = next;
    }
    at += code > 0xffff ? 2 : 1;
  }
  if (start !== -1) parts.push(slice(piece, start, text.length));
  return parts;
}
