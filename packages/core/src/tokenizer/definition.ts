// The tokenizer of a model folder: its tokenizer.json, or one made of its vocabulary, with what other files say of it.
import { canonicalJson, sha256 } from '@sentvec/platform';
import { isObject } from '../model-folder/json.ts';
import type { ModelFiles } from '../types.ts';
import { hashTokenizerJson } from './hash.ts';
import { specialTokensOf, tokenContent, type SpecialTokens } from './special-tokens.ts';
import { pairTemplateOf, type PairTemplate } from './pair-template.ts';
import { readSplitting } from './splitting.ts';
import type { AddedToken, TokenizerJson } from './tokenizer-json.ts';
import { readTokenizerFiles } from './transformers-files.ts';
import { tokenId, vocabularySize } from './vocabulary.ts';

/** All that a tokenizer is made of, whichever library runs it. Plain data: it can be sent to a worker thread. */
export interface TokenizerDefinition {
  /** `tokenizer.json` without what sentvec does itself: truncation, padding, decoding. */
  readonly json: TokenizerJson;
  readonly vocabularySize: number;
  readonly paddingId: number;
  /** What lengthens the queries of late interaction: the mask token, else the one that ends a text. */
  readonly expansionId?: number | undefined;
  readonly specialTokens: SpecialTokens;
  /** How two texts become one input; `undefined` for a tokenizer that has no way. */
  readonly pairTemplate: PairTemplate | undefined;
  /** Which end of a long text is cut off. */
  readonly truncationSide: 'left' | 'right';
  /** Hash of all that decides which ids a text has. The order of keys in the files does not matter. */
  readonly hash: string;
}

/**
 * Reads the tokenizer of a model folder: `tokenizer.json`, else `vocab.txt` as BERT's, with what the other files of
 * transformers say about it.
 * @param options.lowercase whether texts are put in lower case before all else that the tokenizer does, as
 * `do_lower_case` of `sentence_bert_config.json` asks. False by default
 * @param options.markers pieces of texts that become one token each, where the vocabulary has them: whole, or up to
 * their first space. None by default
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function readTokenizerDefinition(
  model: ModelFiles,
  options: { readonly lowercase?: boolean; readonly markers?: readonly string[] | undefined } = {},
): Promise<TokenizerDefinition> {
  const { json: raw, file, config, typed } = await readTokenizerFiles(model);
  const { lowercase = false, markers = [] } = options;
  const whole = { ...raw, truncation: null, padding: null, decoder: null };
  const json = withMarkers(lowercase ? inLowerCase(whole) : whole, markers);
  await readSplitting(json.normalizer, json.pre_tokenizer);
  const side = config['truncation_side'] ?? raw.truncation?.direction;
  const truncationSide = typeof side === 'string' && side.toLowerCase() === 'left' ? 'left' : 'right';
  return {
    json,
    vocabularySize: vocabularySize(json),
    paddingId: paddingIdOf(raw, config),
    expansionId: [config['mask_token'], config['eos_token']]
      .map(tokenContent)
      .flatMap((token) => (token === undefined ? [] : (tokenId(raw, token) ?? [])))[0],
    specialTokens: specialTokensOf(json, file),
    pairTemplate: pairTemplateOf(json, typed),
    truncationSide,
    hash: await sha256(canonicalJson([await hashTokenizerJson(json), truncationSide])),
  };
}

/**
 * Lower-casing comes first among the normalizers. Special tokens in a text are found before it: `[CLS]` stays `[CLS]`.
 * Follows `do_lower_case` in `sentence_transformers/base/modules/transformer.py`.
 */
function inLowerCase(json: TokenizerJson): TokenizerJson {
  const { normalizer } = json;
  const parts = normalizer?.type === 'Sequence' ? normalizer['normalizers'] : undefined;
  const normalizers: readonly unknown[] = Array.isArray(parts) ? parts : [normalizer ?? []].flat();
  if (normalizers.some((each) => isObject(each) && each['type'] === 'Lowercase')) return json;
  return { ...json, normalizer: { type: 'Sequence', normalizers: [{ type: 'Lowercase' }, ...normalizers] } };
}

/**
 * Markers of queries and documents were put into texts as ids when old models of late interaction were trained: no
 * splitting or lower-casing may touch them. Follows `_register_prefix_tokens` in
 * `sentence_transformers/multi_vector_encoder/model.py`.
 */
function withMarkers(json: TokenizerJson, markers: readonly string[]): TokenizerJson {
  const tokens: AddedToken[] = [];
  for (const marker of markers) {
    const content = [marker, marker.trim().split(/\s/u)[0]!].find((each) => tokenId(json, each) !== undefined);
    if (content === undefined || content === '') continue;
    const known = json.added_tokens.find((added) => added.content === content);
    if (known?.normalized === false) continue;
    // A plain word of the vocabulary is one token anyway, and as an added token would be cut out of longer words.
    if (known === undefined && /^\p{Ll}+$/u.test(content)) continue;
    const flags = { special: true, normalized: false, single_word: false, lstrip: false, rstrip: false };
    tokens.push({ id: tokenId(json, content)!, content, ...flags });
  }
  if (tokens.length === 0) return json;
  const replaced = new Set(tokens.map(({ content }) => content));
  const others = json.added_tokens.filter(({ content }) => !replaced.has(content));
  return { ...json, added_tokens: [...others, ...tokens] };
}

/** Padding is masked, so any id of the vocabulary serves; RoBERTa's positions, though, tell padding by its id. */
function paddingIdOf(raw: TokenizerJson, config: Readonly<Record<string, unknown>>): number {
  const named = tokenContent(config['pad_token']);
  const candidate = [named, '[PAD]', '<pad>'].find((token) => token !== undefined && tokenId(raw, token) !== undefined);
  return (candidate === undefined ? undefined : tokenId(raw, candidate)) ?? raw.padding?.pad_id ?? 0;
}
