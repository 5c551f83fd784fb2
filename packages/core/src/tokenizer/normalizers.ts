/**
 * The normalizers of a `tokenizer.json`, which change a text before it is split
 * (https://github.com/huggingface/tokenizers, `normalizers/`).
 */
import { bytesAsCharacters } from './byte-level.ts';
import type { Component } from './component.ts';
import type { Pattern } from './pattern/pattern.ts';
import { prepend, type Piece } from './piece.ts';
import { PrecompiledCharsmap } from './precompiled-charsmap.ts';
import {
  chineseCharacters,
  controlCharacters,
  inertInNormalization,
  marks,
  nonspacingMarks,
  whitespace,
} from './unicode.ts';
import { UnreadableText } from './unreadable-text.ts';

/**
 * Changes the text of a piece.
 * @throws UnreadableText when the text would become longer than `maxLength`
 */
export type Normalizer = (piece: Piece, maxLength: number) => void;

const allControls = new RegExp(`[${controlCharacters}]`, 'gu');
const allChinese = new RegExp(`[${chineseCharacters}]`, 'gu');
const allNonspacingMarks = new RegExp(`[${nonspacingMarks}]`, 'gu');
const allMarks = new RegExp(`[${marks}]`, 'gu');
const allWhitespace = new RegExp(whitespace, 'gu');
const leadingWhitespace = new RegExp(`^${whitespace}+`, 'u');
const trailingWhitespace = new RegExp(`(?<!${whitespace})${whitespace}+$`, 'u');
const nmtControls = '\\u0001-\\u0008\\u000B\\u000E-\\u001F\\u007F\\u008F\\u009F';
const nmtSpaces = '\\t\\n\\f\\r\\u1680\\u200B-\\u200F\\u2028\\u2029\\u2581\\uFEFF\\uFFFD';
const allNmtControls = new RegExp(`[${nmtControls}]`, 'gu');
const allNmtSpaces = new RegExp(`[${nmtSpaces}]`, 'gu');
const allInert = new RegExp(`([${inertInNormalization}])`, 'gu');
const anyInert = new RegExp(`[${inertInNormalization}]`, 'u');
const plainAscii = /^[ -~]*$/u;

/** @throws SentvecError `invalid-model`, `unsupported-model` */
export async function createNormalizer(component: Component): Promise<Normalizer> {
  switch (component.type) {
    case 'BertNormalizer':
      return each(bertNormalizer(component));
    case 'ByteLevel':
      return each(bytesAsCharacters);
    case 'Lowercase':
      return each(lowercase);
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form = component.type;
      return each((text) => normalizeForm(text, form));
    }
    case 'Nmt':
      return each(nmt);
    case 'Precompiled': {
      const charsmap = new PrecompiledCharsmap(component.string('precompiled_charsmap'));
      return (piece, maxLength) => {
        if (piece.lead > 0) piece.lead = charsmap.leadAfter(piece.text, piece.lead);
        piece.text = charsmap.normalize(piece.text);
        checkLength(piece.text.length, maxLength);
      };
    }
    case 'Prepend':
      return prependText(component.string('prepend'));
    case 'Replace':
      return replace(await component.pattern('pattern'), component.string('content'));
    case 'Sequence': {
      const steps = await Promise.all(component.list('normalizers').map(createNormalizer));
      return (piece, maxLength) => {
        for (const step of steps) step(piece, maxLength);
      };
    }
    case 'Strip':
      return strip(component.boolean('strip_left'), component.boolean('strip_right'));
    case 'StripAccents':
      return each((text) => text.replaceAll(allMarks, ''));
    default:
      throw component.unknown(
        'BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip and StripAccents',
      );
  }
}

/** A normalizer that changes each character or grapheme independently of the others. */
function each(normalize: (text: string) => string): Normalizer {
  return (piece, maxLength) => {
    if (piece.lead > 0) piece.lead = normalize(piece.text.slice(0, piece.lead)).length;
    piece.text = normalize(piece.text);
    checkLength(piece.text.length, maxLength);
  };
}

/** @throws UnreadableText */
export function checkLength(length: number, maxLength: number): void {
  if (length <= maxLength) return;
  throw new UnreadableText(
    `grows to more than ${maxLength} characters when the tokenizer normalizes it. Split the text, or use another model.`,
  );
}

function bertNormalizer(component: Component): (text: string) => string {
  const clean = component.boolean('clean_text');
  const chinese = component.boolean('handle_chinese_chars');
  const lower = component.boolean('lowercase');
  const strips = component.optionalBoolean('strip_accents') ?? lower;
  return (text) => {
    let result = text;
    if (!plainAscii.test(text)) {
      if (clean) result = result.replaceAll(allControls, '').replaceAll(allWhitespace, ' ');
      if (chinese) result = result.replaceAll(allChinese, ' $& ');
      if (strips) result = normalizeForm(result, 'NFD').replaceAll(allNonspacingMarks, '');
    }
    return lower ? lowercase(result) : result;
  };
}

/**
 * Lowercases letters independently of their context: only for a sigma at the end of a word `toLowerCase` depends on
 * context.
 */
function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

function normalizeForm(text: string, form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): string {
  if (!anyInert.test(text)) return text.normalize(form);
  return text
    .split(allInert)
    .map((part, index) => (index % 2 === 0 ? part.normalize(form) : part))
    .join('');
}

/** The normalization of Google's neural machine translation system, https://arxiv.org/abs/1609.08144 */
function nmt(text: string): string {
  return text.replaceAll(allNmtControls, '').replaceAll(allNmtSpaces, ' ');
}

function prependText(text: string): Normalizer {
  return (piece, maxLength) => {
    if (piece.text !== '') prepend(piece, text);
    checkLength(piece.text.length, maxLength);
  };
}

function strip(left: boolean, right: boolean): Normalizer {
  return (piece) => {
    if (left) {
      const rest = piece.text.replace(leadingWhitespace, '');
      piece.lead = Math.max(0, piece.lead - (piece.text.length - rest.length));
      piece.text = rest;
    }
    if (right) piece.text = piece.text.replace(trailingWhitespace, '');
    piece.lead = Math.min(piece.lead, piece.text.length);
  };
}

function replace(pattern: string | Pattern, content: string): Normalizer {
  return (piece, maxLength) => {
    const { text } = piece;
    const matches = typeof pattern === 'string' ? literalMatches(text, pattern) : pattern.matches(text);
    if (text === '' || matches.length === 0) return;
    const removed = matches.reduce((sum, position, index) => (index % 2 === 0 ? sum - position : sum + position), 0);
    checkLength(text.length - removed + (matches.length / 2) * content.length, maxLength);
    piece.lead = leadAfterReplace(piece.lead, matches, content.length);
    const parts: string[] = [];
    let end = 0;
    for (let index = 0; index < matches.length; index += 2) {
      parts.push(text.slice(end, matches[index]), content);
      end = matches[index + 1]!;
    }
    piece.text = parts.join('') + text.slice(end);
  };
}

/** Updates `lead` after replacements. A replacement has the position of the last character that it replaces. */
function leadAfterReplace(lead: number, matches: readonly number[], length: number): number {
  if (lead === 0) return 0;
  let after = lead;
  for (let index = 0; index < matches.length; index += 2) {
    const [start, end] = [matches[index]!, matches[index + 1]!];
    if (end <= lead) after += length - (end - start);
    else if (start < lead) after -= lead - start;
    if (end >= lead) break;
  }
  return after;
}

/** Start and end of each occurrence of a string. The empty string occurs before each character and at the end. */
export function literalMatches(text: string, literal: string): number[] {
  const matches: number[] = [];
  if (literal === '') {
    let at = 0;
    for (const character of text) {
      matches.push(at, at);
      at += character.length;
    }
    matches.push(at, at);
    return matches;
  }
  for (let start = text.indexOf(literal); start !== -1; start = text.indexOf(literal, start + literal.length))
    matches.push(start, start + literal.length);
  return matches;
}
