/**
 * Writes src/tokenizer/unicode-tables.ts and category-tables.ts: the properties of characters as the Rust tokenizers see them. Their parts
 * follow different versions of Unicode (8 to 17), JavaScript engines yet others. Asks the native `tokenizers` about each
 * code point. Run it again, with a JavaScript engine of the newest Unicode, when that package changes;
 * test/tokenizer-agreement.test.ts says when. Takes a minute.
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
const digits = tokenizers.digitsPreTokenizer(true);

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
  numerals: {
    about: 'What Digits cuts out: the category N.',
    has: (code) => digits.preTokenizeString(`a${text(code)}`).length === 2,
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

/** The general categories, in the order of their letters in the table. Surrogates count as unassigned. */
const categoryLetters = 'abcdefghijklmnopqrstuvwxyz!#$';
const categories = 'Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co'.split(' ');

function preTokenizer(component) {
  const model = { type: 'WordLevel', vocab: {}, unk_token: '' };
  const json = { added_tokens: [], pre_tokenizer: component, model };
  return tokenizers.Tokenizer.fromString(JSON.stringify(json)).getPreTokenizer();
}

function generalCategories() {
  const all = codePoints.slice(1).map(text).join('');
  const categoryOf = new Uint8Array(0x110000);
  categoryOf[0] = categories.indexOf('Cc');
  for (const [index, category] of categories.entries()) {
    const pattern = { Regex: `\\p{${category}}+` };
    const matches = preTokenizer({ type: 'Split', pattern, behavior: 'Removed', invert: true });
    for (const [piece] of matches.preTokenizeString(all)) {
      for (const character of piece) categoryOf[character.codePointAt(0)] = index;
    }
  }
  return categoryOf;
}

/**
 * Scripts as numbers, told apart by whether UnicodeScripts cuts between a character and one of a known script. 0 is any
 * script: such characters go with all others.
 */
function scripts() {
  const byScript = preTokenizer({ type: 'UnicodeScripts' });
  const together = (left, right) => byScript.preTokenizeString(left + right).length === 1;
  const examples = [undefined, 'a', '\u3042'];
  const scriptOf = new Uint8Array(0x110000);
  for (const code of codePoints.slice(1)) {
    const character = text(code);
    const previous = examples[scriptOf[code - 1]];
    if (together('a', character) && together('\u3042', character)) scriptOf[code] = 0;
    else if (previous !== undefined && together(previous, character)) scriptOf[code] = scriptOf[code - 1];
    else {
      const known = examples.findIndex((example) => example !== undefined && together(example, character));
      scriptOf[code] = known === -1 ? examples.push(character) - 1 : known;
    }
  }
  return scriptOf;
}

/** Runs of one value: the length, left out when it is 1, in base 36 with capitals, then letters for the value. */
function encodeRuns(valueOf, letters) {
  let runs = '';
  for (let start = 0, end = 0; start < valueOf.length; start = end) {
    while (end < valueOf.length && valueOf[end] === valueOf[start]) end += 1;
    runs += (end - start === 1 ? '' : (end - start).toString(36).toUpperCase()) + letters(valueOf[start]);
  }
  return runs;
}

const letterOf = (value) => String.fromCharCode(97 + value);
const declaration = (name, about, value) =>
  `\n/** ${about} */\n// oxfmt-ignore\nexport const ${name}: string =\n  '${value}';\n`;

function write(file, about, declarations) {
  const head = ['/**', ...about.map((line) => ` * ${line}`), ' */', ''].join('\n');
  writeFileSync(new URL(`../src/tokenizer/${file}`, import.meta.url), head + declarations.join(''));
}

write(
  'unicode-tables.ts',
  [
    'Classes of characters in the Rust tokenizers 0.23, written by scripts/write-unicode-tables.mjs; do not edit. A class is a',
    'list of ranges in base 36: the distance from the end of the range before to its start, then that to its end.',
  ],
  Object.entries(classes).map(([name, { about, has }]) => declaration(name, about, encodeRanges(has))),
);
write(
  'category-tables.ts',
  [
    'What each character is in the Rust tokenizers 0.23, written by scripts/write-unicode-tables.mjs; do not edit. A table is',
    'a list of runs of one value: the length in base 36 with capitals, left out when it is 1, then the value.',
  ],
  [
    declaration(
      'generalCategories',
      'General categories of Unicode 16, as `Regex` patterns see them: a letter from `a`, in the order of `categoryNames`; the last three are !, # and $.',
      encodeRuns(generalCategories(), (value) => categoryLetters[value]),
    ),
    declaration(
      'scripts',
      'Scripts as UnicodeScripts sees them, by number: two letters from `a`. 0 is any script.',
      encodeRuns(scripts(), (value) => letterOf(Math.trunc(value / 26)) + letterOf(value % 26)),
    ),
  ],
);
