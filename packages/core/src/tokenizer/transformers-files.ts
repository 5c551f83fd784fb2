/**
 * Combines the tokenizer files of a model folder like `AutoTokenizer` of transformers 5.12. `tokenizer.json` alone does
 * not determine how a text is tokenized: `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` add
 * tokens, and the tokenizer's class overrides some parts (tokenizer-classes.ts).
 */
import { SentvecError } from '../errors.ts';
import { isObject, readJson, readJsonObject } from '../model-folder/json.ts';
import type { ModelFiles } from '../types.ts';
import { checkTokenizerJson, type AddedToken, type TokenizerJson } from './tokenizer-json.ts';
import { tokenContent } from './special-tokens.ts';
import { readSplitting } from './splitting.ts';
import { asBert, asClass, passesTypeIds, isBertClass, tokenizerClass, defaultTokens } from './tokenizer-classes.ts';
import { assignAddedTokenIds } from './vocabulary.ts';

type Json = Readonly<Record<string, unknown>>;

/** The tokenizer files of a folder, combined. */
export interface TokenizerFiles {
  /** `tokenizer.json` with the changes from the other files. */
  readonly json: TokenizerJson;
  /** Name of the file with the vocabulary, for messages. */
  readonly file: string;
  /** `tokenizer_config.json`, with the special tokens of `special_tokens_map.json`. */
  readonly config: Json;
  /** Whether the tokenizer passes token type ids to the model. */
  readonly usesTypeIds: boolean;
}

/**
 * Reads the tokenizer of a model folder: `tokenizer.json`, or otherwise `vocab.txt` as a BERT tokenizer.
 * @throws SentvecError `invalid-model` when there is neither, or when the files contradict each other,
 * `unsupported-model`
 */
export async function readTokenizerFiles(model: ModelFiles): Promise<TokenizerFiles> {
  const written = (await readJsonObject(model, 'tokenizer_config.json')) ?? {};
  const decoder = readDecoder(written['added_tokens_decoder']);
  const map = decoder === undefined ? await readJsonObject(model, 'special_tokens_map.json') : undefined;
  const config = { ...written, ...map };
  const className = tokenizerClass(config, (await readJsonObject(model, 'config.json')) ?? {});
  if (config['split_special_tokens'] === true)
    throw new SentvecError(
      'unsupported-model',
      '"split_special_tokens" in tokenizer_config.json is true, so special tokens in a text are tokenized like words. sentvec does not support this.',
      { file: 'tokenizer_config.json' },
    );
  const { json, file } = await readVocabulary(model);
  // Components that are not used must be valid, too: otherwise the file is damaged.
  await readSplitting(json.normalizer, json.pre_tokenizer);
  const isBert = file === 'vocab.txt' || isBertClass(className, json);
  const defaults = isBert ? defaultTokens(className) : {};
  const legacy = decoder === undefined ? await readAddedTokens(model, config) : undefined;
  const stored = json.added_tokens;
  const tokens = isBert
    ? byId(withoutEarlierDuplicates(decoder ?? [...legacy!, ...stored]))
    : [...withoutEarlierDuplicates([...stored, ...(decoder ?? [])]), ...(legacy ?? [])];
  const withSpecial = [...tokens, ...specialTokens({ ...knownTokens(json, defaults), ...config })];
  const merged = { ...json, added_tokens: assignAddedTokenIds(json, withoutLaterDuplicates(withSpecial)) };
  const whole = isBert
    ? asBert(merged, { ...defaults, ...config }, file)
    : await asClass(merged, className, config, file);
  return { json: whole, file, config, usesTypeIds: passesTypeIds(className, config) };
}

async function readVocabulary(model: ModelFiles): Promise<{ readonly json: TokenizerJson; readonly file: string }> {
  const json = await readJson(model, 'tokenizer.json');
  if (json !== undefined) return { json: checkTokenizerJson(json, 'tokenizer.json'), file: 'tokenizer.json' };
  if (!(await model.list()).includes('vocab.txt'))
    throw new SentvecError(
      'invalid-model',
      `${model.name} has no tokenizer: neither tokenizer.json nor vocab.txt. Save the tokenizer with transformers as a fast tokenizer to get a tokenizer.json.`,
      { file: 'tokenizer.json' },
    );
  const vocab = parseVocabulary(new TextDecoder().decode(await model.read('vocab.txt')));
  return { json: checkTokenizerJson({ model: { type: 'WordPiece', vocab } }, 'vocab.txt'), file: 'vocab.txt' };
}

/** Parses a vocabulary with one token per line, whose id is the number of its line, from 0. */
function parseVocabulary(text: string): Record<string, number> {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const vocab = Object.create(null) as Record<string, number>;
  for (const [id, line] of lines.entries()) vocab[line.replace(/\r$/u, '')] = id;
  return vocab;
}

/** Settings with the special tokens that any tokenizer may have. */
const specialNames = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'].map((name) => `${name}_token`);

/** Only those tokens that are in the vocabulary: others would have no embeddings. */
function knownTokens({ model }: TokenizerJson, tokens: Json): Json {
  const known = Object.entries(tokens).filter(([, token]) => Object.hasOwn(model.vocab, tokenContent(token)!));
  return Object.fromEntries(known);
}

/** All special tokens in a configuration, including additional ones. */
function specialTokens(config: Json): AddedToken[] {
  const extra = config['extra_special_tokens'] ?? config['additional_special_tokens'] ?? [];
  const modelSpecific = config['model_specific_special_tokens'];
  const own = Object.entries(config).filter(([key, value]) => key.endsWith('_token') && typeof value === 'string');
  const values: unknown[] = [
    ...specialNames.map((name) => config[name]),
    ...own.filter(([key]) => !specialNames.includes(key)).map(([, value]) => value),
    ...(isObject(modelSpecific) ? Object.values(modelSpecific) : []),
    ...(Array.isArray(extra) || isObject(extra) ? Object.values(extra) : []),
  ];
  return values.flatMap((value) => {
    const content = tokenContent(value);
    return content === undefined ? [] : [addedToken({ ...(isObject(value) ? value : {}), content, special: true }, 0)];
  });
}

/** Fills in the defaults of an added token. By default, special tokens are not normalized. */
function addedToken(token: Json, id: number): AddedToken {
  const special = token['special'] === true;
  const flag = (name: string, defaultValue: boolean): boolean =>
    typeof token[name] === 'boolean' ? token[name] : defaultValue;
  return {
    id,
    content: token['content'] as string,
    special,
    normalized: flag('normalized', !special),
    single_word: flag('single_word', false),
    lstrip: flag('lstrip', false),
    rstrip: flag('rstrip', false),
  };
}

/** Reads `added_tokens_decoder` of `tokenizer_config.json`: tokens by their ids, of which only the order matters. */
function readDecoder(decoder: unknown): AddedToken[] | undefined {
  if (decoder === undefined || decoder === null) return undefined;
  const entries = isObject(decoder) ? Object.entries(decoder) : [];
  if (isObject(decoder) && entries.every(([, token]) => isObject(token) && typeof token['content'] === 'string'))
    return byId(entries.map(([id, token]) => addedToken(token as Json, Number(id))));
  throw new SentvecError(
    'invalid-model',
    '"added_tokens_decoder" in tokenizer_config.json must be an object of ids with added tokens, each with "content".',
    { file: 'tokenizer_config.json' },
  );
}

/** Reads `added_tokens.json` of older folders: tokens with their ids, of which only the order matters. */
async function readAddedTokens(model: ModelFiles, config: Json): Promise<AddedToken[]> {
  const special = new Set(specialTokens(config).map(({ content }) => content));
  const tokens = Object.entries((await readJsonObject(model, 'added_tokens.json')) ?? {});
  return byId(tokens.map(([content, id]) => addedToken({ content, special: special.has(content) }, Number(id))));
}

function byId(tokens: readonly AddedToken[]): AddedToken[] {
  return tokens.toSorted((a, b) => a.id - b.id);
}

/** Removes duplicates, keeping the first token with a content. */
function withoutLaterDuplicates(tokens: readonly AddedToken[]): AddedToken[] {
  const known = new Set<string>();
  return tokens.filter(({ content }) => !known.has(content) && known.add(content));
}

/** Removes duplicates, keeping the last token with a content at the position of the first. */
function withoutEarlierDuplicates(tokens: readonly AddedToken[]): AddedToken[] {
  return [...new Map(tokens.map((token) => [token.content, token])).values()];
}
