/**
 * Malicious and invalid tokenizers, which could hang the process, exhaust its memory or crash it: either the tokenizer
 * or a text is refused.
 */
import { javaScriptTokenizer, memoryModel, readTokenizerDefinition, type Tokenizer } from '@sentvec/core';
import { nodeTokenizer } from '@sentvec/core/node';
import { Tokenizer as NativeTokenizer } from 'tokenizers';
import { describe, expect, test, vi } from 'vitest';
import { reasonAgainstNative } from '../src/node/native-limits.ts';
import { nativeTokenizer } from '../src/node/native-tokenizer.ts';
import { packTexts, unpackTexts } from '../src/node/tokenizer-messages.ts';

type Json = Record<string, unknown>;

const letters = Array.from('abcdefghijklmnopqrstuvwxyz!$&1 ');
const model = {
  type: 'BPE',
  unk_token: null,
  vocab: Object.fromEntries(letters.map((each, id) => [each, id])),
  merges: [],
};

function open(parts: Json, load = nodeTokenizer('auto')): Promise<Tokenizer> {
  const json = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, model, ...parts };
  return readTokenizerDefinition(memoryModel('hostile', { 'tokenizer.json': JSON.stringify(json) })).then(load);
}

async function count(tokenizer: Tokenizer, text: string): Promise<number> {
  const [tokenized] = await tokenizer.encode([text], { maxLength: Infinity });
  return tokenized!.length;
}

const split = (pattern: string): Json => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Removed',
  invert: false,
});

describe('patterns with much backtracking', () => {
  test.each(['(a+)+$', '(a|a)*$', '(a*)*b', 'a*a*a*a*a*b', '(a+a+)+y', '^(.*?,){20}P'])('%s', async (pattern) => {
    const tokenizer = await open({ pre_tokenizer: split(pattern) });
    expect(tokenizer.name).toBe('javascript');
    expect(await count(tokenizer, `${'a'.repeat(20_000)}!`)).toBe(20_001);
    await tokenizer.dispose();
  });

  test.each(['a+$', '(?>a*)b', 'a++b', '\\s+$|.*x'])(
    '%s runs in the native tokenizer, except for long texts',
    async (pattern) => {
      const tokenizer = await open({ pre_tokenizer: split(pattern) });
      expect(tokenizer.name).toBe('huggingface-rust');
      for (const length of [8000, 20_000]) expect(await count(tokenizer, `${'a'.repeat(length)}!`)).toBe(length + 1);
      await tokenizer.dispose();
    },
  );

  test.each(['(?=.*x)', '(?>(?:ab*)+)c'])(
    '%s: a text that takes too long is refused by its row; later texts are tokenized',
    async (pattern) => {
      const tokenizer = await open({ pre_tokenizer: split(pattern) });
      const texts = ['a', 'b', 'a'.repeat(200_000)];
      await expect(tokenizer.encode(texts, { maxLength: 9 })).rejects.toMatchObject({
        code: 'invalid-text',
        details: { row: 2 },
        message: /Row 2 takes too long/u,
      });
      expect(await count(tokenizer, 'cd')).toBe(2);
      await tokenizer.dispose();
    },
  );

  test('the native tokenizer refuses tokenizers that could hang or crash it', async () => {
    const reasons: Json[] = [
      { pre_tokenizer: split('(a+)+$') },
      { normalizer: { type: 'Replace', pattern: { Regex: '^' }, content: 'x' } },
      { normalizer: { type: 'Prepend', prepend: '' } },
      {
        model: {
          ...model,
          type: 'WordPiece',
          unk_token: 'a',
          continuing_subword_prefix: '',
          max_input_chars_per_word: 1e6,
        },
      },
    ];
    for (const parts of reasons)
      await expect(open(parts, nodeTokenizer('native'))).rejects.toMatchObject({
        code: 'unsupported-model',
        message: /cannot run this model safely/u,
      });
  });
});

describe('texts that grow', () => {
  const doubling = (rules: number, pattern: Json): Json => ({
    type: 'Sequence',
    normalizers: Array.from({ length: rules }, () => ({ type: 'Replace', pattern, content: 'aa' })),
  });

  test.each([
    ['replacements', { normalizer: doubling(40, { String: 'a' }) }],
    ['replacements of a pattern', { normalizer: doubling(40, { Regex: 'a' }) }],
    ['a long prefix', { normalizer: { type: 'Prepend', prepend: 'a'.repeat(1e6) } }],
    [
      'byte-level encoding of byte-level encoding',
      {
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: Array.from({ length: 40 }, () => ({
            type: 'ByteLevel',
            add_prefix_space: true,
            trim_offsets: true,
            use_regex: false,
          })),
        },
      },
    ],
  ])('%s', async (_, parts) => {
    const tokenizer = await open(parts);
    await expect(tokenizer.encode(['é a'], { maxLength: 9 })).rejects.toMatchObject({
      code: 'invalid-text',
      message: /grows to more than/u,
    });
    await tokenizer.dispose();
  });

  test('a text that grows 32 times is accepted', async () => {
    const tokenizer = await open({ normalizer: doubling(5, { String: 'a' }) });
    expect(await count(tokenizer, 'ab')).toBe(33);
    await tokenizer.dispose();
  });
});

/** A base64 `precompiled_charsmap` of one trie block with the given units, and replacements (default: one). */
function charsmap(units: Record<number, number> = {}, replacements = 'x\0'): string {
  const trie = new DataView(new ArrayBuffer(4 + 256 * 4));
  trie.setUint32(0, 256 * 4, true);
  for (const [index, unit] of Object.entries(units)) trie.setUint32(4 + Number(index) * 4, unit, true);
  return btoa(String.fromCharCode(...new Uint8Array(trie.buffer)) + replacements);
}

const nest = (type: string, field: string, depth: number, inner: Json): Json =>
  depth === 0 ? inner : { type, [field]: [nest(type, field, depth - 1, inner)] };

test.each<[string, Json, string]>([
  ['a truncated charsmap', { normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }, 'invalid-model'],
  ['an empty charsmap', { normalizer: { type: 'Precompiled', precompiled_charsmap: '' } }, 'invalid-model'],
  [
    'a charsmap that is not base64',
    { normalizer: { type: 'Precompiled', precompiled_charsmap: '!!' } },
    'invalid-model',
  ],
  [
    'a charsmap with an offset beyond its trie',
    { normalizer: { type: 'Precompiled', precompiled_charsmap: charsmap({ 0: 5000 << 10 }) } },
    'invalid-model',
  ],
  [
    'a charsmap with an offset beyond its replacements',
    { normalizer: { type: 'Precompiled', precompiled_charsmap: charsmap({ 97: 0x100 + 97, 98: 0x80000000 + 9999 }) } },
    'invalid-model',
  ],
  [
    'a charsmap whose replacements are not UTF-8',
    { normalizer: { type: 'Precompiled', precompiled_charsmap: charsmap({}, '\xff') } },
    'invalid-model',
  ],
  ['an unknown normalizer', { normalizer: { type: 'Sha256' } }, 'unsupported-model'],
  ['an unknown pre-tokenizer', { pre_tokenizer: { type: 'constructor' } }, 'unsupported-model'],
  ['an unknown post-processor', { post_processor: { type: 'Mystery' } }, 'unsupported-model'],
  ['an unknown model', { model: { ...model, type: 'Transducer' } }, 'unsupported-model'],
  ['dropout', { model: { ...model, dropout: 0.1 } }, 'unsupported-model'],
  ['an unknown version', { version: '2.0' }, 'invalid-model'],
  [
    'deeply nested normalizers',
    { normalizer: nest('Sequence', 'normalizers', 40, { type: 'NFC' }) },
    'unsupported-model',
  ],
  [
    'too many normalizers',
    { normalizer: { type: 'Sequence', normalizers: Array.from({ length: 1000 }, () => ({ type: 'NFC' })) } },
    'unsupported-model',
  ],
  ['a backreference', { pre_tokenizer: split('(a)\\1') }, 'unsupported-model'],
  ['a pattern with a syntax error', { pre_tokenizer: split('(a') }, 'invalid-model'],
  ['a pattern that is too large', { pre_tokenizer: split('((a{1000}){1000}){1000}') }, 'unsupported-model'],
  ['an empty Metaspace replacement', { pre_tokenizer: { type: 'Metaspace', replacement: '' } }, 'invalid-model'],
  [
    'add_prefix_space: false without a prepend_scheme',
    { pre_tokenizer: { type: 'Metaspace', replacement: '▁', add_prefix_space: false } },
    'invalid-model',
  ],
  ['pieces of length 0', { pre_tokenizer: { type: 'FixedLength', length: 0 } }, 'invalid-model'],
  ['merges of unknown pieces', { model: { ...model, merges: [['a', 'zz']] } }, 'invalid-model'],
  [
    'merges without the prefix',
    { model: { ...model, vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']], continuing_subword_prefix: 'long' } },
    'invalid-model',
  ],
  ['a lone surrogate in the vocabulary', { model: { ...model, vocab: { '\ud800': 0 } } }, 'invalid-model'],
  ['an id that is too large', { model: { ...model, vocab: { a: 2 ** 31 } } }, 'invalid-model'],
  ['an unk_id beyond the vocabulary', { model: { type: 'Unigram', unk_id: 5, vocab: [['a', -1]] } }, 'invalid-model'],
])('%s is refused by both tokenizers with the same error code', async (_, parts, code) => {
  await expect(open(parts, javaScriptTokenizer)).rejects.toMatchObject({ code });
  await expect(open(parts, nodeTokenizer('native'))).rejects.toMatchObject({ code });
});

test('without an unknown token, a text with unknown characters is refused by its row', async () => {
  const words = { type: 'WordLevel', unk_token: 'none', vocab: { a: 0 } };
  for (const load of [javaScriptTokenizer, nodeTokenizer('native')]) {
    const tokenizer = await open({ model: words }, load);
    await expect(tokenizer.encode(['a', 'a', 'é'], { maxLength: 9 })).rejects.toMatchObject({
      code: 'invalid-text',
      details: { row: 2 },
      message: /not in the vocabulary/u,
    });
    await tokenizer.dispose();
  }
});

test('the row in an error counts from the first text of the call', async () => {
  const tokenizer = await open({ model: { type: 'WordLevel', unk_token: 'none', vocab: { a: 0 } } });
  const texts = Array.from({ length: 2000 }, (_, row) => (row === 1700 ? 'b' : 'a'));
  await expect(tokenizer.encode(texts, { maxLength: 9 })).rejects.toMatchObject({ details: { row: 1700 } });
  await tokenizer.dispose();
});

test('packTexts() and unpackTexts() preserve tokenized texts', () => {
  const texts = [
    { ids: Int32Array.of(5, 6), length: 2, truncated: false },
    { ids: Int32Array.of(), length: 0, truncated: false },
    { ids: Int32Array.of(7), length: 9, truncated: true, lengthAtLimit: 4 },
    { ids: Int32Array.of(1, 2, 3), length: 3, truncated: false, lengthAtLimit: 1 },
  ];
  expect(unpackTexts(packTexts(texts))).toStrictEqual(texts);
});

test('a tokenizer has the name of its library before its thread starts', async () => {
  const names = async (parts: Json, library: 'auto' | 'javascript'): Promise<string> => {
    const tokenizer = await open(parts, nodeTokenizer(library));
    await tokenizer.dispose();
    return tokenizer.name;
  };
  expect(await names({}, 'auto')).toBe('huggingface-rust');
  expect(await names({}, 'javascript')).toBe('javascript');
  expect(await names({ pre_tokenizer: split('(a+)+$') }, 'auto')).toBe('javascript');
});

test('normalizers are trusted up to a growth of 256 times; NFKC counts 18 times, BertNormalizer 6 times', async () => {
  const bert = {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  };
  const growing = (length: number): Json => ({
    type: 'Replace',
    pattern: { String: 'a' },
    content: 'a'.repeat(length),
  });
  const isTrusted = async (...normalizers: Json[]): Promise<boolean> => {
    const json = {
      added_tokens: [],
      normalizer: { type: 'Sequence', normalizers },
      pre_tokenizer: null,
      post_processor: null,
      model,
    };
    return (await reasonAgainstNative(json as never)) === undefined;
  };
  // The factors are multiplied; the limit is 256.
  expect(await isTrusted(growing(256))).toBe(true);
  expect(await isTrusted(growing(257))).toBe(false);
  expect(await isTrusted(bert, growing(42))).toBe(true);
  expect(await isTrusted(bert, growing(43))).toBe(false);
  expect(await isTrusted({ type: 'NFKC' }, growing(14))).toBe(true);
  expect(await isTrusted({ type: 'NFKC' }, growing(15))).toBe(false);
  // The largest growth of a single character, over all characters.
  let [maxGrowth, maxGrowthOfBert] = [0, 0];
  for (let code = 0; code < 0x30000; code += 1) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const character = String.fromCodePoint(code);
    maxGrowth = Math.max(maxGrowth, character.normalize('NFKC').length / character.length);
    maxGrowthOfBert = Math.max(
      maxGrowthOfBert,
      ` ${character.normalize('NFD').toLowerCase()} `.length / character.length,
    );
  }
  expect(maxGrowth).toBe(18);
  expect(maxGrowthOfBert).toBeLessThanOrEqual(6);
});

test('a text of more than 8192 characters is never given to the native tokenizer, at any position in a call', async () => {
  const lengths: number[] = [];
  const spy = vi.spyOn(NativeTokenizer.prototype, 'encodeBatch').mockImplementation(async (texts) => {
    lengths.push(...texts.map(({ length }) => length));
    throw new Error('not now');
  });
  const tokenizer = await open({}, nativeTokenizer);
  const texts = ['ab', 'a'.repeat(2 ** 13), 'a'.repeat(2 ** 13 + 1), 'b', 'a'.repeat(9000)];
  const tokenized = await tokenizer.encode(texts, { maxLength: Infinity });
  expect(tokenized.map(({ length }) => length)).toEqual(texts.map(({ length }) => length));
  expect(Math.max(...lengths)).toBe(2 ** 13);
  spy.mockRestore();
});

test('a text that is too long for the native tokenizer gets the ids of the JavaScript tokenizer', async () => {
  const [native, ours] = await Promise.all([open({}, nodeTokenizer('native')), open({}, javaScriptTokenizer)]);
  const texts = ['ab', 'a b '.repeat(5000), 'b'];
  const [theirs, expected] = await Promise.all(
    [native, ours].map((each) => each.encode(texts, { maxLength: Infinity })),
  );
  expect(theirs).toEqual(expected);
  await native.dispose();
});
