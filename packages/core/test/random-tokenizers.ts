/** Reproducible random `tokenizer.json` files with all components that the format defines, and texts to tokenize. */
import { charsmap } from './charsmap.ts';

type Json = Record<string, unknown>;

/** A seeded pseudorandom generator (mulberry32). `next()` returns a number from 0, inclusive, to 1, exclusive. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) + 12345) >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability = 0.5): boolean {
    return this.next() < probability;
  }

  pick<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)]!;
  }

  list<Value>(min: number, max: number, create: (index: number) => Value): Value[] {
    return Array.from({ length: min + this.below(max - min + 1) }, (_, index) => create(index));
  }
}

const alphabet = Array.from(new Set('abcdefgAB0123456789 .,!-_▁ĠÃ©éÉ中文😀σßs\u0301ſ$&xﬁfi\n'));
const strings = [
  'a',
  'b',
  'A',
  'é',
  ' ',
  '▁',
  '1',
  '$',
  '$&',
  'ab',
  '',
  '中',
  '😀',
  '\u0301',
  '.',
  'ﬁ',
  'ß',
  '\n',
  'aa',
  'x',
  'Σ',
];
const patterns = [
  '[ab]+',
  ' {2,}',
  '\\s+',
  '[^a]',
  '(a)|b',
  '\\p{L}+',
  '^',
  '$',
  'x*',
  '\\b',
  '(?i:A)',
  '.',
  '\\d{1,2}',
  '(?<=a)b',
  "'s|'t| ?\\p{L}+|\\s+(?!\\S)|\\s+",
  '[\\r\\n]',
  '\\S',
  'é',
  '[[:punct:]]',
  '\\w+|[^\\w\\s]+',
  '(a*)*b',
  '(?>a+)b?',
];
/**
 * Pieces of texts: letters of several scripts, kinds of whitespace, combining marks, emoji sequences, a lone surrogate.
 */
const chunks = [
  ...alphabet,
  '  ',
  '[T]',
  'New',
  '<s>',
  '<s>er',
  "'s",
  '\t',
  '\u00a0',
  '\u200b',
  '\ufeff',
  '\u0085',
  '\ud800',
  'ab',
  'Ab ',
  'x y',
  'İ',
  'ǆ',
  '가',
  '\u1100\u1161',
  'ｱ',
  '①',
  '٣',
  'क्ष',
  'ไทย',
  '\u00ad',
  '👩‍👩‍👧',
  '🇩🇪',
  '\r\n',
  'Ⅷ',
  'ﷺ',
  'Å',
  '\u0345',
  '\u3000',
  'Ω',
  '…',
  'e\u0301\u0323',
  '\u0007',
  '\u{1d7d8}',
  'Жж',
  'עברית',
  '中中',
];

/** A text of up to 12 random chunks. */
export function randomText(random: Random): string {
  return random.list(0, 12, () => random.pick(chunks)).join('');
}

/** A `tokenizer.json` of random components. */
export function randomTokenizer(random: Random): Json {
  return {
    version: '1.0',
    added_tokens: random.list(0, 5, (index) => addedToken(random, index)),
    normalizer: random.chance(0.3) ? null : normalizer(random, 2),
    pre_tokenizer: random.chance(0.2) ? null : preTokenizer(random, 2),
    post_processor: null,
    model: model(random),
  };
}

function addedToken(random: Random, index: number): Json {
  const contents = ['[T]', 'ab', 'AB', 'a', 'New', '<s>', '<s>er', 'é', ' x', '▁', '中', '😀', 'x y', '1', '...', '$'];
  return {
    id: 900 + index,
    content: random.pick(contents),
    single_word: random.chance(0.3),
    lstrip: random.chance(0.3),
    rstrip: random.chance(0.3),
    normalized: random.chance(),
    special: random.chance(),
  };
}

function pattern(random: Random): Json {
  return random.chance() ? { String: random.pick(strings) } : { Regex: random.pick(patterns) };
}

function normalizer(random: Random, depth: number): Json {
  const simple = ['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents', 'ByteLevel', 'Nmt'];
  const others = ['BertNormalizer', 'Strip', 'Replace', 'Replace', 'Prepend', 'Precompiled'];
  const type = random.pick([...simple, ...others, ...(depth > 0 ? Array<string>(4).fill('Sequence') : [])]);
  const flags = (...names: string[]): Json => Object.fromEntries(names.map((name) => [name, random.chance()]));
  switch (type) {
    case 'BertNormalizer': {
      const strips = random.pick([null, true, false]);
      return { type, ...flags('clean_text', 'handle_chinese_chars', 'lowercase'), strip_accents: strips };
    }
    case 'Strip':
      return { type, ...flags('strip_left', 'strip_right') };
    case 'Replace':
      return { type, pattern: pattern(random), content: random.pick(strings) };
    case 'Prepend':
      return { type, prepend: random.pick(strings) };
    case 'Precompiled':
      return { type, precompiled_charsmap: charsmap };
    case 'Sequence':
      return { type, normalizers: random.list(0, 3, () => normalizer(random, depth - 1)) };
    default:
      return { type };
  }
}

function preTokenizer(random: Random, depth: number): Json {
  const simple = ['BertPreTokenizer', 'Whitespace', 'WhitespaceSplit', 'UnicodeScripts'];
  const others = ['ByteLevel', 'CharDelimiterSplit', 'Digits', 'FixedLength', 'Punctuation'];
  const frequent = [
    'Metaspace',
    'Metaspace',
    'Split',
    'Split',
    ...(depth > 0 ? Array<string>(4).fill('Sequence') : []),
  ];
  const type = random.pick([...simple, ...others, ...frequent]);
  const behavior = random.pick(['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']);
  switch (type) {
    case 'ByteLevel': {
      const usesPattern = random.pick([{}, { use_regex: true }, { use_regex: false }]);
      return { type, add_prefix_space: random.chance(), trim_offsets: true, ...usesPattern };
    }
    case 'CharDelimiterSplit':
      return { type, delimiter: random.pick(['a', ' ', '😀', '▁']) };
    case 'Digits':
      return { type, individual_digits: random.chance() };
    case 'FixedLength':
      return { type, ...random.pick([{}, { length: 1 }, { length: 3 }]) };
    case 'Punctuation':
      return { type, ...random.pick([{}, { behavior }]) };
    case 'Metaspace': {
      const scheme = random.pick([
        {},
        { prepend_scheme: 'first' },
        { prepend_scheme: 'always' },
        { prepend_scheme: 'never' },
      ]);
      const splits = random.pick([{}, { split: true }, { split: false }]);
      return { type, replacement: random.pick(['▁', '▁', '_', 'a', '😀']), ...scheme, ...splits };
    }
    case 'Split':
      return { type, pattern: pattern(random), behavior, invert: random.chance(0.3) };
    case 'Sequence':
      return { type, pretokenizers: random.list(0, 3, () => preTokenizer(random, depth - 1)) };
    default:
      return { type };
  }
}

/** A model with pieces of one to three characters and without some characters, so that tokens depend on every split. */
function model(random: Random): Json {
  const characters = alphabet.filter(() => random.chance(0.9));
  const pairs = random.list(40, 40, () => random.pick(alphabet) + random.pick(alphabet));
  const triples = random.list(20, 20, () => random.pick(pairs) + random.pick(alphabet));
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const known = random.chance() ? bytes.filter(() => random.chance(0.97)) : [];
  const pieces = [...new Set(['<unk>', ...characters, ...pairs, ...triples, ...known])];
  const unknown = random.pick(['<unk>', '<unk>', '<unk>', 'none']);
  const ids = (of: readonly string[]): Json => Object.fromEntries([...new Set(of)].map((piece, id) => [piece, id]));
  switch (random.pick(['BPE', 'BPE', 'Unigram', 'Unigram', 'WordPiece', 'WordLevel'])) {
    case 'Unigram': {
      const scored = pieces.map((piece) => [piece, -random.below(4) - (piece.length === 1 ? 5 : 6)]);
      const fallback = random.pick([{}, { byte_fallback: true }]);
      return { type: 'Unigram', unk_id: random.pick([0, 0, 0, null]), vocab: scored, ...fallback };
    }
    case 'WordPiece': {
      const prefix = random.pick(['##', '##', '', 'a']);
      return {
        type: 'WordPiece',
        unk_token: unknown,
        continuing_subword_prefix: prefix,
        max_input_chars_per_word: random.pick([100, 4, 0]),
        vocab: ids([...pieces, ...pieces.map((piece) => prefix + piece)]),
      };
    }
    case 'WordLevel':
      return { type: 'WordLevel', unk_token: unknown, vocab: ids(pieces) };
    default:
      return bytePairs(random, characters, pieces, unknown);
  }
}

function bytePairs(random: Random, characters: readonly string[], pieces: readonly string[], unknown: string): Json {
  const prefix = random.pick(['', '', '##']);
  const suffix = random.pick(['', '', '</w>']);
  const singleCharacters = characters.flatMap((character) => [
    prefix + character,
    character + suffix,
    prefix + character + suffix,
  ]);
  const vocab = new Set([...pieces, ...singleCharacters]);
  const merges = random.list(60, 60, () => {
    const left = random.pick(characters);
    const right = prefix + random.pick(characters) + random.pick(['', suffix]);
    vocab.add(left + right.slice(prefix.length));
    vocab.add(right);
    return [left, right];
  });
  const asStrings = random.chance() && merges.every((pair) => !pair.join('').includes(' '));
  return {
    type: 'BPE',
    unk_token: random.pick([unknown, null]),
    fuse_unk: random.chance(),
    byte_fallback: random.chance(),
    ignore_merges: random.chance(),
    continuing_subword_prefix: prefix,
    end_of_word_suffix: suffix,
    vocab: Object.fromEntries([...vocab].map((piece, id) => [piece, id])),
    merges: asStrings ? merges.map((pair) => pair.join(' ')) : merges,
  };
}
