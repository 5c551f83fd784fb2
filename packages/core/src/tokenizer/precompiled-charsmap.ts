// The normalizer `Precompiled` of SentencePiece models: reads and checks its table of replacements, and applies it to
// graphemes.
import { SentvecError } from '../errors.ts';

/**
 * Characters that continue a grapheme: those with the properties Extend, SpacingMark and ZWJ. Not all characters of the
 * category Mc are SpacingMark.
 */
const extending =
  '(?![\\u102B\\u102C\\u1038\\u1062-\\u1064\\u1067-\\u106D\\u1083\\u1087-\\u108C\\u108F\\u109A-\\u109C\\u1A61\\u1A63\\u1A64\\uAA7B\\uAA7D\\u{11720}\\u{11721}])' +
  '[\\p{Grapheme_Extend}\\p{Emoji_Modifier}\\p{Mc}\\u200D\\u0E33\\u0EB3]';
const preceding =
  '[\\u0600-\\u0605\\u06DD\\u070F\\u0890\\u0891\\u08E2\\u0D4E\\u{110BD}\\u{110CD}\\u{111C2}\\u{111C3}\\u{113D1}\\u{1193F}\\u{11941}\\u{11A3A}\\u{11A84}-\\u{11A89}\\u{11D46}\\u{11F02}]';
/**
 * Characters that are always a grapheme of their own: those with the property Control, including unassigned characters
 * that are ignorable by default.
 */
const control = '(?:(?![\\u200C\\u200D])[\\p{Cc}\\p{Zl}\\p{Zp}\\p{Cf}]|(?=\\p{Cn})\\p{Default_Ignorable_Code_Point})';
const base = `(?:\\p{Extended_Pictographic}(?:(?:${extending})*?\\u200D\\p{Extended_Pictographic})*|(?!${control})[^])`;

/**
 * Matches graphemes. `Intl.Segmenter` would also be correct, but needs 12 µs per grapheme, and minutes for a text of
 * 80,000 characters. Hangul jamo sequences, flags and Indic conjuncts are not joined: they have at least six bytes, so
 * their characters are replaced one by one anyway.
 */
const graphemes = new RegExp(
  `\\r\\n|(?:${preceding})+(?:${base}(?:${extending})*)?|${base}(?:${extending})+|[^]`,
  'gu',
);
/**
 * If this does not match, each character of the text is a grapheme. Testing this first saves time, because finding
 * graphemes is slow.
 */
const joining = new RegExp(`\\r\\n|${preceding}|${extending}`, 'u');
const anyCharacter = /[^]/gu;
const beyondAscii = /[^ -~]/gu;

/**
 * The table of replacements that SentencePiece compiles into a model (`precompiled_charsmap`): a double-array trie over
 * UTF-8 bytes (Darts, https://github.com/s-yata/darts-clone), followed by the zero-terminated replacements.
 */
export class PrecompiledCharsmap {
  /** Length of the longest replacement in UTF-16 code units. */
  readonly longest: number;
  readonly #trie: Uint32Array;
  readonly #replacements: Uint8Array;
  /** Cache of replaced graphemes. */
  readonly #known = new Map<string, string>();
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  readonly #replacesAscii: boolean;

  /**
   * @param charsmap the table in base64
   * @throws SentvecError `invalid-model` when it is not a valid table
   */
  constructor(charsmap: string) {
    const bytes = fromBase64(charsmap);
    const view = new DataView(bytes.buffer);
    const trieBytes = bytes.length < 4 ? 0 : view.getUint32(0, true);
    if (trieBytes === 0 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length) throw invalid('is truncated');
    this.#trie = Uint32Array.from({ length: trieBytes / 4 }, (_, index) => view.getUint32(4 + index * 4, true));
    this.#replacements = bytes.subarray(4 + trieBytes);
    this.longest = longestReplacement(this.#replacements);
    checkTrie(this.#trie, this.#replacements);
    this.#replacesAscii = Array.from({ length: 95 }, (_, index) => 32 + index).some(
      (byte) => this.#search(Uint8Array.of(byte)) !== undefined,
    );
  }

  /**
   * Applies the replacements, like the normalizer `Precompiled` of the Rust tokenizers: to graphemes of less than six
   * bytes, otherwise to single characters.
   */
  normalize(text: string): string {
    const characters = this.#replacesAscii ? anyCharacter : beyondAscii;
    return text.replaceAll(joining.test(text) ? graphemes : characters, (grapheme) => this.#replace(grapheme));
  }

  /**
   * How many code units of the normalized text belong to the first characters of a text. Counts like the Rust
   * tokenizers, which process the characters one by one and forget those that were removed before the first remaining
   * one.
   * @param lead number of code units of those first characters
   */
  leadAfter(text: string, lead: number): number {
    const leading = Array.from(text.slice(0, lead)).length;
    // For each new character: its width, and whether it replaces one character of the text (0), none (1), or several
    // (below 0).
    const changes: { readonly width: number; change: number }[] = [];
    for (const [grapheme] of text.matchAll(joining.test(text) ? graphemes : anyCharacter)) {
      for (const [old, replaced] of this.#parts(grapheme)) addChanges(changes, old, replaced);
      if (changes.filter(({ change }) => change <= 0).length > leading + 1) break;
    }
    let taken = 0;
    let after = 0;
    for (const { width, change } of changes) {
      if ((change > 0 ? taken - 1 : taken) >= leading) break;
      after += width;
      if (change <= 0) taken += 1 - change;
    }
    return after;
  }

  #replace(grapheme: string): string {
    const known = this.#known.get(grapheme);
    if (known !== undefined) return known;
    const replaced = this.#parts(grapheme)
      .map(([, part]) => part)
      .join('');
    if (grapheme.length < 6 && this.#known.size < 2 ** 16) this.#known.set(grapheme, replaced);
    return replaced;
  }

  /**
   * Pairs of an original text and its replacement: for the whole grapheme if it is short, otherwise for each of its
   * characters.
   */
  #parts(grapheme: string): (readonly [string, string])[] {
    const bytes = this.#encoder.encode(grapheme);
    const whole = bytes.length < 6 ? this.#search(bytes) : undefined;
    if (whole !== undefined) return [[grapheme, whole]];
    return Array.from(grapheme, (character) => [character, this.#search(this.#encoder.encode(character)) ?? character]);
  }

  /**
   * The replacement of the shortest prefix in the trie. As in the Rust tokenizers, it replaces the whole text, not only
   * the prefix.
   */
  #search(bytes: Uint8Array): string | undefined {
    let node = offsetOf(this.#trie[0]!);
    for (const byte of bytes) {
      if (byte === 0) return undefined;
      node ^= byte;
      const unit = this.#trie[node]!;
      if (labelOf(unit) !== byte) return undefined;
      node ^= offsetOf(unit);
      if (hasLeaf(unit)) return this.#replacementAt(valueOf(this.#trie[node]!));
    }
    return undefined;
  }

  #replacementAt(start: number): string {
    const end = this.#replacements.indexOf(0, start);
    return this.#decoder.decode(this.#replacements.subarray(start, end === -1 ? undefined : end));
  }
}

function addChanges(changes: { readonly width: number; change: number }[], old: string, replaced: string): void {
  const characters = Array.from(replaced);
  const grown = characters.length - Array.from(old).length;
  for (const [index, { length: width }] of characters.entries())
    changes.push({ width, change: characters.length - index <= grown ? 1 : 0 });
  const last = changes.at(-1);
  if (grown < 0 && last) last.change += grown;
}

/**
 * Checks the offsets of the trie: every node must refer to a block of 256 units (one for each byte) inside of the trie,
 * and every leaf to the start of a character in the replacements. The Rust tokenizers do not check this and crash the
 * process if it is violated.
 */
function checkTrie(trie: Uint32Array, replacements: Uint8Array): void {
  for (const [index, unit] of trie.entries()) {
    if (index > 0 && isLeaf(unit)) continue;
    const block = (index ^ offsetOf(unit)) >>> 0;
    if ((block | 0xff) >= trie.length) throw invalid('has an offset outside of its trie');
    if (!hasLeaf(unit)) continue;
    const position = valueOf(trie[block]!);
    if (position > replacements.length || (replacements[position]! & 0xc0) === 0x80)
      throw invalid('has an offset outside of its replacements');
  }
}

function longestReplacement(replacements: Uint8Array): number {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(replacements);
  } catch {
    throw invalid('has replacements that are not UTF-8');
  }
  return text.split('\0').reduce((longest, replacement) => Math.max(longest, replacement.length), 0);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    const binary = atob(text);
    if (btoa(binary) === text) return Uint8Array.from(binary, (character) => character.charCodeAt(0));
  } catch {
    // Invalid base64: reported below.
  }
  throw invalid('is not valid base64');
}

function invalid(what: string): SentvecError {
  return new SentvecError('invalid-model', `The "precompiled_charsmap" in tokenizer.json ${what}. Download it again.`, {
    file: 'tokenizer.json',
  });
}

/** The fields of a unit of the double array; see `details::DoubleArrayUnit` in darts.h. */
function isLeaf(unit: number): boolean {
  return unit >>> 31 === 1;
}

function hasLeaf(unit: number): boolean {
  return ((unit >>> 8) & 1) === 1;
}

function labelOf(unit: number): number {
  return (unit & 0x800000ff) >>> 0;
}

function valueOf(unit: number): number {
  return unit & 0x7fffffff;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
