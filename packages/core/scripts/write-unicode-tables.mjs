/**
 * Writes src/tokenizer/javascript/unicode-tables.ts: the character classes of the Rust tokenizers, which follow older
 * versions of Unicode than JavaScript engines do. Asks the native `tokenizers` about each code point. Run it again,
 * with a JavaScript engine of the newest Unicode, when that package changes; test/tokenizer-agreement.test.ts says
 * when.
 */
import { writeFileSync } from 'node:fs';
import tokenizers from 'tokenizers';

const codePoints = Array.from({ length: 0x110000 }, (_, code) => code).filter((code) => code < 0xd800 || code > 0xdfff);
const text = (code) => String.fromCodePoint(code);
const only = (options) =>
  tokenizers.bertNormalizer({
    cleanText: false,
    handleChineseChars: false,
    stripAccents: false,
    lowercase: false,
    ...options,
  });

const cleaning = only({ cleanText: true });
const strippingNonspacing = only({ stripAccents: true });
const spacingChinese = only({ handleChineseChars: true });
const strippingMarks = tokenizers.stripAccentsNormalizer();
const splitting = tokenizers.bertPreTokenizer();
const decomposing = tokenizers.nfdNormalizer();
const compatible = tokenizers.nfkdNormalizer();
const takingWords = tokenizers.whitespacePreTokenizer();
const wordCharacter = /[\p{Alphabetic}\p{M}\p{N}\p{Pc}]/u;
const otherNumber = /^\p{No}$/u;

/**
 * Whether a character takes part in canonical reordering: it moves before U+0315 (class 232), or U+0334 (class 1) moves
 * before it.
 */
const reorders = (normalize, code) =>
  normalize(text(code)) === text(code) &&
  (normalize(`\u0315${text(code)}`)[0] !== '\u0315' || !normalize(`${text(code)}\u0334`).endsWith('\u0334'));
const here = (form) => (string) => string.normalize(form);
const rust = (normalizer) => (string) => normalizer.normalizeString(string);

const classes = {
  controlCharacters: {
    about:
      'What `clean_text` of BertNormalizer removes: U+FFFD and the categories Cc, Cf and Co, but for tab and newlines.',
    has: (code) => cleaning.normalizeString(`a${text(code)}b`) === 'ab',
  },
  chineseCharacters: {
    about: 'What `handle_chinese_chars` of BertNormalizer puts between spaces.',
    has: (code) => spacingChinese.normalizeString(text(code)) !== text(code),
  },
  nonspacingMarks: {
    about: 'What `strip_accents` of BertNormalizer removes: the category Mn.',
    has: (code) => strippingNonspacing.normalizeString(text(code)) === '',
  },
  marks: {
    about: 'What StripAccents removes: the category M.',
    has: (code) => strippingMarks.normalizeString(text(code)) === '',
  },
  punctuation: {
    about: 'What BertPreTokenizer and Punctuation cut out: ASCII punctuation and the category P.',
    has: (code) => splitting.preTokenizeString(`a${text(code)}b`).length === 3,
  },
  newerWordCharacters: {
    about: 'Letters, marks and numbers of newer versions of Unicode, which regular expressions take for symbols.',
    has: (code) =>
      wordCharacter.test(text(code)) &&
      !otherNumber.test(text(code)) &&
      takingWords.preTokenizeString(`a${text(code)}`).length === 2,
  },
  inertInNormalization: {
    about:
      'Characters of newer versions of Unicode, which the normalizations NFC, NFD, NFKC and NFKD leave as and where they are.',
    has: (code) =>
      compatible.normalizeString(text(code)) !== text(code).normalize('NFKD') ||
      (reorders(here('NFD'), code) && !reorders(rust(decomposing), code)),
  },
};

/** Ranges as distances in base 36: from the end of the last range to the start, then from start to end. */
function encodeRanges(has) {
  const distances = [];
  let end = 0;
  for (let index = 0; index < codePoints.length; index += 1) {
    if (!has(codePoints[index])) continue;
    const start = codePoints[index];
    while (
      index + 1 < codePoints.length &&
      codePoints[index + 1] === codePoints[index] + 1 &&
      has(codePoints[index + 1])
    )
      index += 1;
    distances.push(start - end, codePoints[index] - start);
    end = codePoints[index];
  }
  return distances.map((distance) => distance.toString(36)).join(' ');
}

const lines = [
  '/**',
  ' * Character classes of the Rust tokenizers 0.23, written by scripts/write-unicode-tables.mjs; do not edit. Each is a list of',
  ' * ranges in base 36: the distance from the end of the range before to its start, then that to its end.',
  ' */',
];
for (const [name, { about, has }] of Object.entries(classes)) {
  lines.push('', `/** ${about} */`, '// oxfmt-ignore', `export const ${name}: string =`, `  '${encodeRanges(has)}';`);
}
writeFileSync(new URL('../src/tokenizer/javascript/unicode-tables.ts', import.meta.url), `${lines.join('\n')}\n`);
