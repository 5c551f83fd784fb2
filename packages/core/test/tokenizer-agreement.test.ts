import { javaScriptTokenizer, memoryModel, readTokenizerDefinition, type Tokenizer } from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { describe, expect, test } from 'vitest';
import { charsmap } from './charsmap.ts';

/** A `tokenizer.json` whose ids depend on every split: letters merge with their neighbours, unknown characters fuse. */
function tokenizerJson(parts: Record<string, unknown>): Record<string, unknown> {
  const letters = Array.from('abcdefghijklmnopqrstuvwxyzσ0123456789 .!▁ĠÃ');
  const pairs = ['ab', 'bb', 'ba', '▁a', 'Ġa', ' a', '12', '!!', 'b ', 'éa'];
  const vocab = Object.fromEntries(['<unk>', '[T]', ...letters, 'é', ...pairs].map((piece, id) => [piece, id]));
  const merges = pairs.map((pair) => Array.from(pair));
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, vocab, merges },
    ...parts,
  };
}

async function bothTokenizers(json: Record<string, unknown>): Promise<Tokenizer[]> {
  const definition = await readTokenizerDefinition(memoryModel('made', { 'tokenizer.json': JSON.stringify(json) }));
  return Promise.all([javaScriptTokenizer(definition), nodeTokenizer('native')(definition)]);
}

/** The texts whose ids differ between the two tokenizers, with the ids of both. */
async function disagreements(tokenizers: readonly Tokenizer[], texts: readonly string[]): Promise<unknown[]> {
  const [ours, theirs] = await Promise.all(
    tokenizers.map((tokenizer) => tokenizer.encode(texts, { maxLength: Infinity })),
  );
  return texts.flatMap((text, index) => {
    const [a, b] = [ours![index]!.ids.join(' '), theirs![index]!.ids.join(' ')];
    return a === b ? [] : [{ text, a, b }];
  });
}

function addedToken(id: number, content: string, flags: Record<string, boolean> = {}): Record<string, unknown> {
  const none = { special: true, normalized: false, single_word: false, lstrip: false, rstrip: false };
  return { id, content, ...none, ...flags };
}

/**
 * Texts with all characters (of ideographs and Hangul every 32nd) between letters, after a space, and between a digit
 * and punctuation.
 */
function everyCharacter(): string[] {
  const texts: string[] = [];
  let text = '';
  for (
    let code = 1;
    code < 0xe0200;
    code += /[\u3400-\u9fff\uac00-\ud7ff\u{17000}-\u{18cff}\u{20000}-\u{e0000}]/u.test(String.fromCodePoint(code))
      ? 32
      : 1
  ) {
    if (code >= 0xd800 && code < 0xf000) code = 0xf000;
    const character = String.fromCodePoint(code);
    text += `a${character}b ${character}1${character}! `;
    if (text.length <= 300) continue;
    texts.push(text);
    text = '';
  }
  return [...texts, text];
}

/** Reproducible random texts of runs in different scripts, with lone surrogates. */
function randomTexts(count: number, seed: number): string[] {
  let state = seed;
  const next = (limit: number): number => (state = (state * 48271) % 2147483647) % limit;
  const scripts: (() => number)[] = [
    () => 0x20 + next(95),
    () => 97 + next(3),
    () => 32,
    () => [9, 10, 13, 0x85, 0xa0, 0xfeff, 0x2028, 0x3000][next(8)]!,
    () => 0xa0 + next(0x500),
    () => 0x300 + next(0x70),
    () => 0x370 + next(0x90),
    () => 0x600 + next(0x100),
    () => 0x900 + next(0x400),
    () => 0x2000 + next(0x80),
    () => 0x3040 + next(0x200),
    () => 0x4e00 + next(0x5000),
    () => 0xac00 + next(0x2ba0),
    () => 0xd800 + next(0x800),
    () => 0x1f300 + next(0x400),
    () => 0x20000 + next(0x1000),
  ];
  return Array.from({ length: count }, () => {
    let script = scripts[next(scripts.length)]!;
    let text = '';
    for (let left = 1 + next(30); left > 0; left -= 1) {
      if (next(10) < 3) script = scripts[next(scripts.length)]!;
      text += String.fromCodePoint(script());
    }
    return text;
  });
}

describe('the JavaScript tokenizer and the Rust tokenizer give the same ids', () => {
  const sequence = (...normalizers: unknown[]): unknown => ({ type: 'Sequence', normalizers });
  const bert = {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  };
  const normalizers: Record<string, unknown> = {
    bert,
    'bert, cased': { ...bert, lowercase: false },
    'bert, accents kept': { ...bert, strip_accents: false, handle_chinese_chars: false },
    'bert, accents stripped only': { ...bert, clean_text: false, strip_accents: true, lowercase: false },
    lowercase: { type: 'Lowercase' },
    NFC: { type: 'NFC' },
    NFD: { type: 'NFD' },
    NFKC: { type: 'NFKC' },
    NFKD: { type: 'NFKD' },
    'strip accents': sequence({ type: 'NFD' }, { type: 'StripAccents' }),
    strip: { type: 'Strip', strip_left: true, strip_right: true },
    'prepend and replace': sequence(
      { type: 'Prepend', prepend: '▁' },
      { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    ),
    'replace by pattern': { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
    'replace with a text like "$&", which RegExp would expand': sequence(
      { type: 'Replace', pattern: { String: 'a' }, content: '$&$1$$' },
      { type: 'Replace', pattern: { Regex: '(b)' }, content: '$1' },
    ),
    'byte level': { type: 'ByteLevel' },
    nmt: { type: 'Nmt' },
    precompiled: { type: 'Precompiled', precompiled_charsmap: charsmap },
    'strip on the left': { type: 'Strip', strip_left: true, strip_right: false },
    'strip on the right': { type: 'Strip', strip_left: false, strip_right: true },
  };
  const split = (behavior: string, invert = false): unknown => ({
    type: 'Split',
    pattern: { Regex: '[ab]+' },
    behavior,
    invert,
  });
  const preTokenizers: Record<string, unknown> = {
    bert: { type: 'BertPreTokenizer' },
    whitespace: { type: 'Whitespace' },
    'whitespace split': { type: 'WhitespaceSplit' },
    'byte level': { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    'byte level with a prefix': { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    digits: { type: 'Digits', individual_digits: false },
    'single digits': { type: 'Digits', individual_digits: true },
    punctuation: { type: 'Punctuation', behavior: 'Isolated' },
    'punctuation, together': { type: 'Punctuation', behavior: 'Contiguous' },
    metaspace: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    'metaspace, first': { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
    'metaspace, never': { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: false },
    'whitespace split, then metaspace': {
      type: 'Sequence',
      pretokenizers: [
        { type: 'WhitespaceSplit' },
        { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
      ],
    },
    'split, removed': split('Removed'),
    'split, isolated': split('Isolated'),
    'split, contiguous': split('Contiguous'),
    'split, with previous': split('MergedWithPrevious'),
    'split, with next': split('MergedWithNext'),
    'split, inverted': split('Removed', true),
    'split at a string': { type: 'Split', pattern: { String: 'a' }, behavior: 'MergedWithPrevious', invert: false },
    'split as Llama 3 does': {
      type: 'Split',
      pattern: {
        Regex:
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      },
      behavior: 'Isolated',
      invert: false,
    },
    'char delimiter': { type: 'CharDelimiterSplit', delimiter: 'a' },
    'fixed length': { type: 'FixedLength', length: 3 },
    'unicode scripts': { type: 'UnicodeScripts' },
    'byte level without a pattern': { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: false },
    'metaspace behind other splitters': {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: false },
        { type: 'WhitespaceSplit' },
        { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
      ],
    },
  };
  const texts = randomTexts(2000, 11);

  test.each(Object.entries(normalizers))('normalizer: %s', async (_, normalizer) => {
    expect(await disagreements(await bothTokenizers(tokenizerJson({ normalizer })), texts)).toEqual([]);
  });

  test.each(Object.entries(preTokenizers))('pre-tokenizer: %s', async (_, preTokenizer) => {
    expect(await disagreements(await bothTokenizers(tokenizerJson({ pre_tokenizer: preTokenizer })), texts)).toEqual(
      [],
    );
  });

  test('models of all types', async () => {
    const { model } = tokenizerJson({}) as { model: Record<string, unknown> };
    const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    const vocabularyWithBytes = Object.fromEntries(
      [...Object.keys(model['vocab'] as object), ...bytes].map((piece, id) => [piece, id]),
    );
    const scored = Object.keys(vocabularyWithBytes).map((piece) => [
      piece,
      piece.length === 1 ? -5 : piece.length === 2 ? -8 : -9,
    ]);
    const models: Record<string, unknown>[] = [
      { ...model, fuse_unk: false },
      { ...model, unk_token: null },
      { ...model, vocab: vocabularyWithBytes, byte_fallback: true },
      { ...model, ignore_merges: true },
      { type: 'Unigram', unk_id: 0, vocab: scored.slice(0, 50) },
      { type: 'Unigram', unk_id: 0, vocab: scored, byte_fallback: true },
      { type: 'WordLevel', unk_token: '<unk>', vocab: model['vocab'] },
      {
        type: 'WordPiece',
        unk_token: '<unk>',
        continuing_subword_prefix: '',
        max_input_chars_per_word: 4,
        vocab: model['vocab'],
      },
    ];
    for (const other of models) {
      const tokenizers = await bothTokenizers(
        tokenizerJson({
          model: other,
          pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
        }),
      );
      expect(await disagreements(tokenizers, texts)).toEqual([]);
    }
  });

  test('BPE with end_of_word_suffix or continuing_subword_prefix', async () => {
    const vocab = Object.fromEntries(
      ['<unk>', 'a', 'b', 'a</w>', 'b</w>', 'ab</w>', 'ab', 'ba', '##a', '##b', 'a##', 'bab</w>'].map((piece, id) => [
        piece,
        id,
      ]),
    );
    const merges = [
      ['a', 'b</w>'],
      ['a', 'b'],
      ['b', 'a'],
      ['b', 'ab</w>'],
    ];
    const suffix = { type: 'BPE', unk_token: '<unk>', end_of_word_suffix: '</w>', vocab, merges };
    const prefix = {
      type: 'BPE',
      unk_token: '<unk>',
      continuing_subword_prefix: '##',
      vocab,
      merges: [
        ['a', '##b'],
        ['b', '##a'],
      ],
    };
    const words = ['ab', 'a', 'b', 'abab', 'babab ab aab', 'xax', 'bbbabababbbaaab', ''];
    for (const model of [suffix, prefix]) {
      expect(
        await disagreements(
          await bothTokenizers(tokenizerJson({ model, pre_tokenizer: { type: 'WhitespaceSplit' } })),
          words,
        ),
      ).toEqual([]);
    }
  });

  test.each(['always', 'first', 'never'])('the start of a text with Metaspace and the scheme %s', async (scheme) => {
    const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split: true };
    for (const normalizer of [null, ...Object.values(normalizers)]) {
      const json = tokenizerJson({
        normalizer,
        pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Punctuation' }, metaspace] },
        added_tokens: [addedToken(1, '[T]')],
      });
      const starts = ['', ' ', '[T]', '.', '\u0301', '中', 'ﬁ', '\u0007', 'x', '$', 'İ', 'e\u0301', '\u200b', '[T] '];
      const startTexts = starts.flatMap((beginning) => [`${beginning}ab a`, `${beginning}. b`]);
      expect(await disagreements(await bothTokenizers(json), startTexts)).toEqual([]);
    }
  });

  test('added tokens with all flags', async () => {
    const added = addedToken;
    const json = tokenizerJson({
      normalizer: { type: 'Lowercase' },
      added_tokens: [
        added(1, '[T]'),
        added(900, '<left>', { lstrip: true }),
        added(901, '<right>', { rstrip: true }),
        added(902, 'New York', { normalized: true, special: false }),
        added(903, '<left>er'),
        added(904, 'graft', { single_word: true, normalized: true }),
        added(905, 'é', { single_word: true, rstrip: true }),
      ],
    });
    const withTokens = [
      'a[T]b',
      '[T][T]',
      'a  <left> b',
      'a <right>  b',
      'in new york a',
      'New York',
      '<left>er a',
      ' <left> <right> ',
      '<left><right>',
      '[t]',
      'graft a graft. grafts engraft graft-graft GRAFT x_graft',
      'é  é caé \u00e9\u200d é²',
      '\u3000<left>\u00a0<right>\u2028 <right>\ufeff',
    ];
    expect(await disagreements(await bothTokenizers(json), withTokens)).toEqual([]);
  });

  test.each(['tiny-bert', 'tiny-roberta', 'tiny-mpnet'])('every character, and random texts: %s', async (name) => {
    const definition = await readTokenizerDefinition(goldenModel(name));
    const tokenizers = await Promise.all([javaScriptTokenizer(definition), nodeTokenizer('native')(definition)]);
    expect(await disagreements(tokenizers, everyCharacter())).toEqual([]);
    expect(await disagreements(tokenizers, randomTexts(5000, 3))).toEqual([]);
  });
});
