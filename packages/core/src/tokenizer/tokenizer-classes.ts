/**
 * Reproduces tokenizer classes of transformers 5.12 that override parts of `tokenizer.json`: some are built from
 * `tokenizer_config.json` and use only the vocabulary of `tokenizer.json`; others add their own special tokens around a
 * text, or a space before it.
 */
import { canonicalJson } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { isObject } from '../model-folder/json.ts';
import { specialTokensOf, tokenContent, type SpecialTokens } from './special-tokens.ts';
import { readSplitting } from './splitting.ts';
import type { TokenizerComponent, TokenizerJson } from './tokenizer-json.ts';
import { tokenId } from './vocabulary.ts';

type Json = Readonly<Record<string, unknown>>;

/** Classes with BERT's tokenizer, built from `tokenizer_config.json` and the vocabulary. */
const bertClasses: ReadonlySet<string> = new Set([
  'BertTokenizer',
  'DistilBertTokenizer',
  'ElectraTokenizer',
  'LayoutLMTokenizer',
  'LxmertTokenizer',
  'MPNetTokenizer',
  'MobileBertTokenizer',
  'SplinterTokenizer',
  'SqueezeBertTokenizer',
]);

/**
 * Classes that apply `add_prefix_space` of `tokenizer_config.json` to their pre-tokenizer, with the default of this
 * setting.
 */
const prefixSpaceByDefault: ReadonlyMap<string, boolean> = new Map([
  ['AlbertTokenizer', true],
  ['BartTokenizer', false],
  ['CamembertTokenizer', true],
  ['DebertaV2Tokenizer', true],
  ['GPT2Tokenizer', false],
  ['LEDTokenizer', false],
  ['LongformerTokenizer', false],
  ['MvpTokenizer', false],
  ['Qwen2Tokenizer', false],
  ['RobertaTokenizer', false],
  ['XLMRobertaTokenizer', true],
]);

interface Frame {
  readonly single: string;
  readonly pair: string;
}

const frameWithDoubleEos: Frame = { single: 'bos A eos', pair: 'bos A eos eos B eos' };
const frameWithTypeIds: Frame = { single: 'cls A sep', pair: 'cls A sep B:1 sep:1' };

/**
 * Templates of classes for one text (A) or two (A, B), which override `tokenizer.json`: names of special tokens, each
 * with an optional token type id.
 */
const framesOfClasses: ReadonlyMap<string, Frame> = new Map([
  ['AlbertTokenizer', frameWithTypeIds],
  ['CamembertTokenizer', frameWithDoubleEos],
  ['DebertaV2Tokenizer', frameWithTypeIds],
  ['RobertaTokenizer', { single: 'cls A sep', pair: 'cls A sep sep B sep' }],
  ['T5Tokenizer', { single: 'A eos', pair: 'A eos B eos' }],
  ['XLMRobertaTokenizer', frameWithDoubleEos],
]);

/** Default special tokens of these classes, if no file names them. */
function defaultFrameToken(name: string, className: string): string {
  if (name === 'bos' || name === 'eos' || className === 'RobertaTokenizer')
    return name === 'bos' || name === 'cls' ? '<s>' : '</s>';
  return name === 'cls' ? '[CLS]' : '[SEP]';
}

/** Tokenizer class by model type, for folders that do not name a class. Contains only the classes above. */
const classesOfTypes: readonly (readonly [string, string])[] = [
  [
    'BertTokenizer',
    'bert blip chinese_clip convbert distilbert electra ernie layoutlm megatron-bert nezha nomic_bert qdqbert realm retribert squeezebert visual_bert',
  ],
  ['LxmertTokenizer', 'lxmert'],
  ['MPNetTokenizer', 'mpnet'],
  ['MobileBertTokenizer', 'mobilebert'],
  ['SplinterTokenizer', 'splinter'],
  ['RobertaTokenizer', 'bart data2vec-text ibert lilt longformer mega mra roberta roberta-prelayernorm'],
  ['GPT2Tokenizer', 'gpt2 gpt_bigcode gpt_neo gptj opt phi starcoder2'],
  ['AlbertTokenizer', 'albert nystromformer yoso'],
  ['CamembertTokenizer', 'camembert'],
  ['DebertaV2Tokenizer', 'deberta-v2'],
  ['T5Tokenizer', 'mt5 switch_transformers t5 umt5'],
  ['XLMRobertaTokenizer', 'jina_embeddings_v3 xlm-roberta xlm-roberta-xl xmod'],
  ['Qwen2Tokenizer', 'qwen2 qwen3'],
];

/** Model types for which the class in the folder is ignored, since it is wrong. */
const typesOfOtherClass: ReadonlySet<string> = new Set(['modernbert', 'qwen2']);

/** The class of a tokenizer, without `Fast`; `undefined` when it cannot be determined. */
export function tokenizerClass(config: Json, modelConfig: Json): string | undefined {
  const type = modelConfig['model_type'];
  const named = config['tokenizer_class'] ?? modelConfig['tokenizer_class'];
  if (typeof named === 'string' && !typesOfOtherClass.has(String(type))) return named.replace(/Fast$/u, '');
  return classesOfTypes.find(([, types]) => types.split(' ').includes(String(type)))?.[0];
}

/** Classes that pass token type ids to the model: `token_type_ids` is in their `model_input_names`. */
const classesWithTypeIds: ReadonlySet<string> = new Set([
  'BertTokenizer',
  'DebertaTokenizer',
  'DebertaV2Tokenizer',
  'ElectraTokenizer',
  'FNetTokenizer',
  'LayoutLMTokenizer',
  'LxmertTokenizer',
  'MobileBertTokenizer',
  'SqueezeBertTokenizer',
]);

/** Whether a tokenizer passes token type ids to the model, according to its files or otherwise its class. */
export function passesTypeIds(className: string | undefined, config: Json): boolean {
  const names = config['model_input_names'];
  return Array.isArray(names) ? names.includes('token_type_ids') : classesWithTypeIds.has(className ?? '');
}

/** Whether a tokenizer has BERT's class, so that only its vocabulary is used. */
export function isBertClass(className: string | undefined, { model }: TokenizerJson): boolean {
  const isNamed = model.type === 'WordPiece' || (model.type === undefined && 'max_input_chars_per_word' in model);
  return bertClasses.has(className ?? '') && isNamed && !Array.isArray(model.vocab);
}

/** Default special tokens of a class, if no file names them. */
export function defaultTokens(className: string | undefined): Json {
  if (className !== 'MPNetTokenizer')
    return { unk_token: '[UNK]', sep_token: '[SEP]', pad_token: '[PAD]', cls_token: '[CLS]', mask_token: '[MASK]' };
  const mask = { content: '<mask>', lstrip: true };
  const around = { bos_token: '<s>', eos_token: '</s>', sep_token: '</s>', cls_token: '<s>' };
  return { ...around, unk_token: '[UNK]', pad_token: '<pad>', mask_token: mask };
}

/**
 * Builds BERT's tokenizer from a vocabulary: BERT's normalizer and pre-tokenizer, WordPiece, and `[CLS]` and `[SEP]`
 * around the text.
 * @throws SentvecError `invalid-model`
 */
export function asBert(json: TokenizerJson, config: Json, file: string): TokenizerJson {
  const flag = (name: string): boolean | undefined => {
    const value = config[name] ?? undefined;
    if (value === undefined || typeof value === 'boolean') return value;
    throw contradiction(`"${name}" must be true or false, not ${JSON.stringify(value).slice(0, 100)}`);
  };
  const token = (name: string): readonly [string, number] => {
    const content = tokenContent(config[name])!;
    const id = tokenId(json, content);
    if (id !== undefined) return [content, id];
    throw new SentvecError(
      'invalid-model',
      `${file} has no token "${content}", which is the ${name} of the tokenizer. Check that the vocabulary belongs to this model.`,
      { file },
    );
  };
  const [opening, closing] = [token('cls_token'), token('sep_token')];
  const around: SpecialTokens = { prefix: [opening[1]], suffix: [closing[1]] };
  return {
    ...json,
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: flag('tokenize_chinese_chars') ?? true,
      strip_accents: flag('strip_accents') ?? null,
      lowercase: flag('do_lower_case') ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    // An equivalent post-processor is kept, so that the hash of the folder does not change unnecessarily.
    post_processor:
      canonicalJson(specialTokensOf(json, file)) === canonicalJson(around)
        ? json.post_processor
        : { type: 'BertProcessing', sep: closing, cls: opening },
    model: {
      ...json.model,
      type: 'WordPiece',
      unk_token: tokenContent(config['unk_token']),
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
    },
  };
}

/**
 * Applies the overrides of a class other than BERT's to `tokenizer.json`.
 * @throws SentvecError `invalid-model`
 */
export async function asClass(
  json: TokenizerJson,
  className: string | undefined,
  config: Json,
  file: string,
): Promise<TokenizerJson> {
  if (className === undefined) return json;
  if (className === 'DebertaV2Tokenizer') await checkDeberta(json, config);
  return withPrefixSpaceOfClass(withFrame(json, className, config, file), className, config);
}

/**
 * Checks that `tokenizer.json` agrees with the settings of DeBERTa's tokenizer in `tokenizer_config.json`.
 * @throws SentvecError `invalid-model`
 */
async function checkDeberta(json: TokenizerJson, config: Json): Promise<void> {
  const piece = { text: 'A.A', lead: 0 };
  const { normalize, preTokenize } = await readSplitting(json.normalizer, json.pre_tokenizer);
  normalize(piece, 1024);
  if (config['do_lower_case'] === true && piece.text.includes('A'))
    throw contradiction('"do_lower_case" is true, but the normalizer of tokenizer.json keeps upper case letters');
  if (config['split_by_punct'] === true && preTokenize([piece], 1024).length === 1)
    throw contradiction('"split_by_punct" is true, but tokenizer.json does not split punctuation off');
}

/** Replaces the post-processor of `tokenizer.json` by that of the class, if it adds other tokens around a text. */
function withFrame(json: TokenizerJson, className: string, config: Json, file: string): TokenizerJson {
  const frame = framesOfClasses.get(className);
  // The class applies only to the type of model (BPE or Unigram) that it builds.
  const isOfClass =
    className === 'RobertaTokenizer' ? json.model['merges'] !== undefined : Array.isArray(json.model.vocab);
  if (frame === undefined || !isOfClass) return json;
  const definitions: Record<string, Json> = {};
  const pieces = (template: string): Json[] =>
    template.split(' ').map((part) => {
      const [name, type = '0'] = part.split(':') as [string, string?];
      const content =
        name.length === 1 ? name : tokenContent(config[`${name}_token`] ?? defaultFrameToken(name, className))!;
      if (name.length > 1) definitions[content] = { id: content, ids: [tokenId(json, content)], tokens: [content] };
      return { [name.length > 1 ? 'SpecialToken' : 'Sequence']: { id: content, type_id: Number(type) } };
    });
  const template = { single: pieces(frame.single), pair: pieces(frame.pair), special_tokens: definitions };
  const postProcessor: TokenizerComponent = { type: 'TemplateProcessing', ...template };
  const isStored = Object.values(definitions).every(({ ids }) => (ids as unknown[])[0] !== undefined);
  const framed = { ...json, post_processor: postProcessor };
  if (!isStored || canonicalJson(specialTokensOf(framed, file)) === canonicalJson(specialTokensOf(json, file)))
    return json;
  return framed;
}

/** Applies the class's setting for the space before a text to each pre-tokenizer that can add one. */
function withPrefixSpaceOfClass(json: TokenizerJson, className: string, config: Json): TokenizerJson {
  const byDefault = prefixSpaceByDefault.get(className);
  const addsSpace = config['add_prefix_space'] ?? byDefault;
  if (byDefault === undefined || typeof addsSpace !== 'boolean' || json.pre_tokenizer === null) return json;
  const schemeWithoutSpace = className === 'DebertaV2Tokenizer' ? 'first' : 'never';
  return { ...json, pre_tokenizer: withPrefixSpace(json.pre_tokenizer, addsSpace, schemeWithoutSpace) };
}

function withPrefixSpace(part: TokenizerComponent, adds: boolean, schemeWithoutSpace: string): TokenizerComponent {
  if (part.type === 'ByteLevel') return { ...part, add_prefix_space: adds };
  if (part.type === 'Metaspace')
    return { ...part, add_prefix_space: null, prepend_scheme: adds ? 'always' : schemeWithoutSpace };
  const parts = part['pretokenizers'];
  if (part.type !== 'Sequence' || !Array.isArray(parts)) return part;
  const withSpace = (inner: unknown): unknown =>
    isObject(inner) ? withPrefixSpace(inner as unknown as TokenizerComponent, adds, schemeWithoutSpace) : inner;
  return { ...part, pretokenizers: parts.map(withSpace) };
}

function contradiction(what: string): SentvecError {
  return new SentvecError('invalid-model', `In tokenizer_config.json ${what}. Save the tokenizer again.`, {
    file: 'tokenizer_config.json',
  });
}
