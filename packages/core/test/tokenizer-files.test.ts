/**
 * The tokenizer settings in the files of a folder and their precedence. The expected ids are those of `AutoTokenizer`
 * of transformers 5.12.1 for the same folders.
 */
import { javaScriptTokenizer, loadEmbedder, readTokenizerDefinition } from '@sentvec/core';
import { plainBackend } from '@sentvec/architectures';
import { goldenModel } from '@sentvec/testing';
import { describe, expect, test } from 'vitest';
import { memoryModel } from '@sentvec/core';

type Json = Record<string, unknown>;

const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const pieces = [
  ...special,
  ...Array.from('abdgimnorsPt[]é').flatMap((each) => [each, `##${each}`]),
  'graft',
  'paris',
  'Paris',
];
const id = (piece: string): number => pieces.indexOf(piece);
const added = (content: string, flags: Json = {}): Json => ({
  content,
  special: true,
  normalized: false,
  single_word: false,
  lstrip: false,
  rstrip: false,
  ...flags,
});
const stored = special.map((content, index) => ({ id: index, ...added(content) }));
const decoder = Object.fromEntries(special.map((content, index) => [index, added(content)]));
const normalizer = (lowercase: boolean): Json => ({
  type: 'BertNormalizer',
  clean_text: true,
  handle_chinese_chars: true,
  strip_accents: null,
  lowercase,
});

function tokenizerJson(parts: Json = {}): Json {
  return {
    added_tokens: stored,
    normalizer: normalizer(true),
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(pieces.map((piece, index) => [piece, index])),
    },
    ...parts,
  };
}

async function idsOf(files: Record<string, Json | string>, text: string): Promise<number[]> {
  const contents = Object.entries(files).map(([path, content]) => [
    path,
    typeof content === 'string' ? content : JSON.stringify(content),
  ]);
  const definition = await readTokenizerDefinition(memoryModel('folder', Object.fromEntries(contents)));
  const tokenizer = await javaScriptTokenizer(definition);
  return [...(await tokenizer.encode([text], { maxLength: 100 }))[0]!.ids];
}

const withSpecialTokens = (...ids: number[]): number[] => [2, ...ids, 3];
const [lower, cased] = [id('paris'), id('Paris')];

describe('do_lower_case', () => {
  test.each<[string, Json, Json, boolean, number]>([
    [
      'false takes precedence over tokenizer.json',
      { tokenizer_class: 'BertTokenizer', do_lower_case: false },
      {},
      true,
      cased,
    ],
    [
      'true takes precedence over tokenizer.json',
      { tokenizer_class: 'BertTokenizer', do_lower_case: true },
      {},
      false,
      lower,
    ],
    ['is true by default', { tokenizer_class: 'BertTokenizerFast' }, {}, false, lower],
    ['is used for the model_type electra', { do_lower_case: false }, { model_type: 'electra' }, true, cased],
    [
      'is used for the tokenizer_class in config.json',
      { do_lower_case: false },
      { tokenizer_class: 'BertTokenizer' },
      true,
      cased,
    ],
    [
      'is ignored for other classes',
      { tokenizer_class: 'PreTrainedTokenizerFast', do_lower_case: false },
      {},
      true,
      lower,
    ],
    ['is ignored without a class', { do_lower_case: false }, {}, true, lower],
    [
      'is ignored for ModernBERT with any class',
      { tokenizer_class: 'BertTokenizer', do_lower_case: false },
      { model_type: 'modernbert' },
      true,
      lower,
    ],
  ])('%s', async (_, config, modelConfig, lowercase, expected) => {
    const files = { 'tokenizer_config.json': config, 'config.json': modelConfig };
    const json = tokenizerJson({ normalizer: normalizer(lowercase) });
    expect(await idsOf({ ...files, 'tokenizer.json': json }, 'Paris')).toEqual(withSpecialTokens(expected));
  });

  // Ids of sentence-transformers 6.1, which finds special tokens first and then lowercases `Upper` and `CASE`.
  test.each<[string, number[]]>([
    ['tiny-albert', [2, 207, 35, 175, 4, 5, 1, 22, 9, 8, 45, 109, 511, 5, 1, 31, 8, 109, 3]],
    ['st6-roberta', [0, 88, 385, 267, 224, 62, 80, 296, 78, 64, 520, 273, 296, 72, 224, 2, 2]],
    ['st6-xlmr', [0, 263, 37, 229, 118, 23, 9, 8, 48, 120, 562, 356, 8, 11, 2, 2]],
    [
      'tiny-modernbert-mean',
      [437, 360, 79, 259, 440, 220, 27, 76, 290, 74, 29, 269, 290, 68, 220, 27, 14, 82, 29, 438],
    ],
    ['tiny-t5', [262, 36, 228, 117, 22, 8, 7, 47, 119, 3, 2, 22, 8, 7, 47, 157, 599, 1, 1]],
  ])('of sentence_bert_config.json does not change special tokens of %s', async (name, ids) => {
    const definition = await readTokenizerDefinition(goldenModel(name), { lowercase: true });
    const tokenizer = await javaScriptTokenizer(definition);
    const [text] = await tokenizer.encode(['Upper [MASK] <mask> CASE </s>'], { maxLength: 100 });
    expect([...text!.ids]).toEqual(ids);
  });

  test('strip_accents and tokenize_chinese_chars take precedence over tokenizer.json as well', async () => {
    const config = { tokenizer_class: 'BertTokenizer', strip_accents: false };
    expect(await idsOf({ 'tokenizer.json': tokenizerJson(), 'tokenizer_config.json': config }, 'é')).toEqual(
      withSpecialTokens(id('é')),
    );
    const chinese = { tokenizer_class: 'BertTokenizer', tokenize_chinese_chars: false };
    expect(await idsOf({ 'tokenizer.json': tokenizerJson(), 'tokenizer_config.json': chinese }, 'a中')).toEqual(
      withSpecialTokens(1),
    );
  });

  test('that is a string is refused', async () => {
    const config = { tokenizer_class: 'BertTokenizer', do_lower_case: 'no' };
    await expect(
      idsOf({ 'tokenizer.json': tokenizerJson(), 'tokenizer_config.json': config }, 'a'),
    ).rejects.toMatchObject({
      code: 'invalid-model',
      message: /do_lower_case/u,
    });
  });
});

describe.each(['BertTokenizer', 'PreTrainedTokenizerFast'])('added tokens of %s', (name) => {
  const next = pieces.length;
  const dom = withSpecialTokens(id('a'), next, id('b'));
  test.each<[string, Record<string, Json>]>([
    ['added_tokens.json', { 'added_tokens.json': { '[dom]': next } }],
    ['added_tokens.json with an id that is not the next one', { 'added_tokens.json': { '[dom]': next + 5 } }],
    [
      'added_tokens_decoder',
      { 'tokenizer_config.json': { added_tokens_decoder: { ...decoder, [next]: added('[dom]') } } },
    ],
    ['additional_special_tokens', { 'tokenizer_config.json': { additional_special_tokens: ['[dom]'] } }],
    ['extra_special_tokens with names', { 'tokenizer_config.json': { extra_special_tokens: { dom: '[dom]' } } }],
    ['a special token of the model', { 'tokenizer_config.json': { image_token: '[dom]' } }],
    ['special_tokens_map.json', { 'special_tokens_map.json': { additional_special_tokens: ['[dom]'] } }],
  ])('%s', async (_, files) => {
    const config = { tokenizer_class: name, ...files['tokenizer_config.json'] };
    const all = { 'tokenizer.json': tokenizerJson(), ...files, 'tokenizer_config.json': config };
    expect(await idsOf(all, 'a [dom] b')).toEqual(dom);
  });

  test('added_tokens_decoder changes flags and replaces the older files', async () => {
    const json = tokenizerJson({ added_tokens: [...stored, { id: next, ...added('graft', { single_word: true }) }] });
    const config = { tokenizer_class: name, added_tokens_decoder: { ...decoder, [next]: added('graft') } };
    const files = { 'tokenizer.json': json, 'added_tokens.json': { '[dom]': next } };
    expect(await idsOf(files, 'engraft')).toEqual(withSpecialTokens(1));
    expect(await idsOf({ ...files, 'tokenizer_config.json': config }, '[dom]grafts')).toEqual(
      withSpecialTokens(id('['), id('d'), id('##o'), id('##m'), id(']'), id('graft'), id('s')),
    );
  });
});

test('BERT tokenizer classes put the special tokens of tokenizer_config.json around a text', async () => {
  const json = tokenizerJson();
  const config = { tokenizer_class: 'BertTokenizer', cls_token: '[MASK]' };
  expect(await idsOf({ 'tokenizer.json': json, 'tokenizer_config.json': config }, 'a')).toEqual([4, id('a'), 3]);
  const map = { 'special_tokens_map.json': { cls_token: '[MASK]' } };
  expect(
    await idsOf({ 'tokenizer.json': json, 'tokenizer_config.json': { tokenizer_class: 'BertTokenizer' }, ...map }, 'a'),
  ).toEqual([4, id('a'), 3]);
  const other = { ...config, tokenizer_class: 'PreTrainedTokenizerFast' };
  expect(await idsOf({ 'tokenizer.json': json, 'tokenizer_config.json': other }, 'a')).toEqual(
    withSpecialTokens(id('a')),
  );
});

test('a post-processor equivalent to that of BERT is kept, so that the hash does not change', async () => {
  const special_tokens = Object.fromEntries(
    ['[CLS]', '[SEP]'].map((content) => [content, { id: content, ids: [id(content)], tokens: [content] }]),
  );
  const token = (content: string, type_id = 0): Json => ({ SpecialToken: { id: content, type_id } });
  const text = (name: string, type_id = 0): Json => ({ Sequence: { id: name, type_id } });
  const template = {
    type: 'TemplateProcessing',
    single: [token('[CLS]'), text('A'), token('[SEP]')],
    pair: [token('[CLS]'), text('A'), token('[SEP]'), text('B', 1), token('[SEP]', 1)],
    special_tokens,
  };
  const processorOf = async (config: Json): Promise<unknown> => {
    const files = { 'tokenizer.json': tokenizerJson({ post_processor: template }), 'tokenizer_config.json': config };
    const contents = Object.entries(files).map(([path, content]) => [path, JSON.stringify(content)]);
    return (await readTokenizerDefinition(memoryModel('folder', Object.fromEntries(contents)))).json.post_processor;
  };
  const config = { tokenizer_class: 'BertTokenizer' };
  expect(await processorOf(config)).toEqual(template);
  const otherwise = { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[MASK]', 4] };
  expect(await processorOf({ ...config, cls_token: '[MASK]' })).toEqual(otherwise);
});

test('add_bos_token and add_eos_token are ignored with a tokenizer.json', async () => {
  const flags = { add_bos_token: true, add_eos_token: true, bos_token: '[MASK]', eos_token: '[PAD]' };
  for (const name of ['BertTokenizer', 'PreTrainedTokenizerFast']) {
    const config = { tokenizer_class: name, ...flags };
    expect(await idsOf({ 'tokenizer.json': tokenizerJson(), 'tokenizer_config.json': config }, 'a')).toEqual(
      withSpecialTokens(id('a')),
    );
  }
});

test('a vocab.txt without tokenizer.json is read as a BERT tokenizer with the tokens of the other files', async () => {
  const files = { 'vocab.txt': `${pieces.join('\n')}\n`, 'added_tokens.json': { '[dom]': pieces.length } };
  expect(await idsOf(files, 'Paris [dom]')).toEqual(withSpecialTokens(lower, pieces.length));
  const config = { do_lower_case: false, added_tokens_decoder: { ...decoder, 99: added('[Dom]') } };
  expect(await idsOf({ ...files, 'tokenizer_config.json': config }, 'Paris [Dom]')).toEqual(
    withSpecialTokens(cased, pieces.length),
  );
});

describe('the tokenizer class decides on a space before the text and special tokens around it', () => {
  const bytes = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
  const vocab = { a: 0, Ġ: 1, Ġa: 2, '<s>': 3, '</s>': 4 };
  const json = { pre_tokenizer: bytes, model: { type: 'BPE', vocab, merges: [['Ġ', 'a']] } };
  test.each<[Json, number[]]>([
    [{ tokenizer_class: 'RobertaTokenizer' }, [3, 0, 4]],
    [{ tokenizer_class: 'RobertaTokenizer', sep_token: '<s>', add_prefix_space: true }, [3, 2, 3]],
    [{ tokenizer_class: 'PreTrainedTokenizerFast', add_prefix_space: false }, [2]],
  ])('%j', async (config, expected) => {
    expect(await idsOf({ 'tokenizer.json': json, 'tokenizer_config.json': config }, 'a')).toEqual(expected);
  });

  test.each<[Json, number[]]>([
    [{ tokenizer_class: 'XLMRobertaTokenizer' }, [2]],
    [{ tokenizer_class: 'XLMRobertaTokenizer', add_prefix_space: false }, [0]],
  ])('%j', async (config, expected) => {
    const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' };
    const parts = { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] };
    const scored = {
      type: 'Unigram',
      unk_id: null,
      vocab: [
        ['a', -1],
        ['▁', -3],
        ['▁a', -1],
      ],
    };
    const files = { 'tokenizer.json': { pre_tokenizer: parts, model: scored }, 'tokenizer_config.json': config };
    expect(await idsOf(files, 'a')).toEqual(expected);
  });
});

describe('the tokenizer class decides on the special tokens around a text with a Unigram model', () => {
  const scored = {
    type: 'Unigram',
    unk_id: 4,
    vocab: ['<s>', '</s>', '[CLS]', '[SEP]', '<unk>', 'a'].map((each) => [each, -1]),
  };
  const json = { pre_tokenizer: { type: 'WhitespaceSplit' }, model: scored };
  test.each<[Json, Json, number[]]>([
    [{ tokenizer_class: 'XLMRobertaTokenizer' }, {}, [0, 5, 1]],
    [{ tokenizer_class: 'XLMRobertaTokenizer', bos_token: '[CLS]' }, {}, [2, 5, 1]],
    [{ tokenizer_class: 'T5TokenizerFast', add_bos_token: true }, {}, [5, 1]],
    [{ tokenizer_class: 'DebertaV2Tokenizer', sep_token: { content: '</s>' } }, {}, [2, 5, 1]],
    [{}, { model_type: 'camembert' }, [0, 5, 1]],
    [{ tokenizer_class: 'PreTrainedTokenizerFast', add_eos_token: true }, { model_type: 't5' }, [5]],
  ])('%j, %j', async (config, model, expected) => {
    const files = { 'tokenizer.json': json, 'tokenizer_config.json': config, 'config.json': model };
    expect(await idsOf(files, 'a')).toEqual(expected);
  });
});

test('a setting that contradicts tokenizer.json and split_special_tokens are refused by name', async () => {
  const json = { normalizer: { type: 'NFC' }, model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0]] } };
  const config = { tokenizer_class: 'DebertaV2Tokenizer', do_lower_case: true };
  await expect(idsOf({ 'tokenizer.json': json, 'tokenizer_config.json': config }, 'a')).rejects.toMatchObject({
    code: 'invalid-model',
    message: /do_lower_case.*keeps capital letters/u,
  });
  const split = { split_special_tokens: true };
  await expect(idsOf({ 'tokenizer.json': tokenizerJson(), 'tokenizer_config.json': split }, 'a')).rejects.toMatchObject(
    {
      code: 'unsupported-model',
      message: /split_special_tokens/u,
    },
  );
});

describe('an added token beyond the embedding matrix', () => {
  const withToken = async (token: Json) => {
    const golden = goldenModel('tiny-bert');
    const json = JSON.parse(new TextDecoder().decode(await golden.read('tokenizer.json'))) as { added_tokens: Json[] };
    const changed = new TextEncoder().encode(JSON.stringify({ ...json, added_tokens: [...json.added_tokens, token] }));
    return { ...golden, read: async (path: string) => (path === 'tokenizer.json' ? changed : golden.read(path)) };
  };

  test('makes texts that contain it invalid, but not the model', async () => {
    const model = await withToken({ id: 959, ...added('<image>') });
    const embedder = await loadEmbedder(model, { backend: plainBackend(), selfCheck: false });
    const plain = await loadEmbedder(goldenModel('tiny-bert'), { backend: plainBackend(), selfCheck: false });
    const [{ vectors }, { vectors: expected }] = await Promise.all([embedder.embed(['a cat']), plain.embed(['a cat'])]);
    expect(vectors.data).toEqual(expected.data);
    await expect(embedder.embed(['a', 'a cat', 'an <image> of a cat'])).rejects.toMatchObject({
      code: 'invalid-text',
      details: { row: 2 },
      message: /Row 2 has the token "<image>", for which the model has no embedding/u,
    });
    await Promise.all([embedder.dispose(), plain.dispose()]);
  });
});

test('truncation_side left keeps the end of a text between its special tokens', async () => {
  const files = { 'tokenizer.json': tokenizerJson(), 'tokenizer_config.json': { truncation_side: 'left' } };
  const contents = Object.entries(files).map(([path, content]) => [path, JSON.stringify(content)]);
  const definition = await readTokenizerDefinition(memoryModel('folder', Object.fromEntries(contents)));
  const tokenizer = await javaScriptTokenizer(definition);
  const [truncatedText] = await tokenizer.encode(['a b d g'], { maxLength: 4 });
  expect(truncatedText).toEqual({ ids: Int32Array.of(2, id('d'), id('g'), 3), length: 6, truncated: true });
});
