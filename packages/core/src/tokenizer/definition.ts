// Reads the tokenizer of a model folder: tokenizer.json, or one built from a vocabulary, with the settings in other
// files.
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

/**
 * The complete definition of a tokenizer, independent of the library that runs it. Plain data, which can be sent to a
 * worker thread.
 */
export interface TokenizerDefinition {
  /**
   * `tokenizer.json` without truncation and padding, which sentvec does itself, and without the decoder, which is not
   * used.
   */
  readonly json: TokenizerJson;
  readonly vocabularySize: number;
  readonly paddingId: number;
  /**
   * The token for the query expansion of late-interaction models: the mask token, otherwise the token that ends a
   * text.
   */
  readonly expansionId?: number | undefined;
  readonly specialTokens: SpecialTokens;
  /** Template that joins two texts to one input; `undefined` when the tokenizer has none. */
  readonly pairTemplate: PairTemplate | undefined;
  /** Which end of a long text is truncated. */
  readonly truncationSide: 'left' | 'right';
  /** Hash of everything that determines the ids of a text. The order of keys in the files does not matter. */
  readonly hash: string;
}

/**
 * Reads the tokenizer of a model folder: `tokenizer.json`, or otherwise `vocab.txt` as a BERT tokenizer, with the
 * settings in the other files of transformers.
 * @param options.lowercase whether texts are lowercased before all other normalization (`do_lower_case` in
 * `sentence_bert_config.json`); default: false
 * @param options.markers strings that are always one token if the vocabulary contains them, whole or up to their first
 * space; default: none
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function readTokenizerDefinition(
  model: ModelFiles,
  options: { readonly lowercase?: boolean; readonly markers?: readonly string[] | undefined } = {},
): Promise<TokenizerDefinition> {
  const { json: raw, file, config, usesTypeIds } = await readTokenizerFiles(model);
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
    pairTemplate: pairTemplateOf(json, usesTypeIds),
    truncationSide,
    hash: await sha256(canonicalJson([await hashTokenizerJson(json), truncationSide])),
  };
}

/**
 * Adds lowercasing as the first normalizer. Special tokens in a text are found before normalization, so `[CLS]` stays
 * `[CLS]`. Follows `do_lower_case` in `sentence_transformers/base/modules/transformer.py`.
 */
function inLowerCase(json: TokenizerJson): TokenizerJson {
  const { normalizer } = json;
  const parts = normalizer?.type === 'Sequence' ? normalizer['normalizers'] : undefined;
  const normalizers: readonly unknown[] = Array.isArray(parts) ? parts : [normalizer ?? []].flat();
  if (normalizers.some((each) => isObject(each) && each['type'] === 'Lowercase')) return json;
  return { ...json, normalizer: { type: 'Sequence', normalizers: [{ type: 'Lowercase' }, ...normalizers] } };
}

/**
 * Makes the markers of queries and documents added tokens, so that they are neither split nor lowercased: older
 * late-interaction models were trained with their ids. Follows `_register_prefix_tokens` in
 * `sentence_transformers/multi_vector_encoder/model.py`.
 */
function withMarkers(json: TokenizerJson, markers: readonly string[]): TokenizerJson {
  const tokens: AddedToken[] = [];
  for (const marker of markers) {
    const content = [marker, marker.trim().split(/\s/u)[0]!].find((each) => tokenId(json, each) !== undefined);
    if (content === undefined || content === '') continue;
    const known = json.added_tokens.find((added) => added.content === content);
    if (known?.normalized === false) continue;
    // A plain word of the vocabulary is one token anyway; as an added token it would also match inside of longer words.
    if (known === undefined && /^\p{Ll}+$/u.test(content)) continue;
    const flags = { special: true, normalized: false, single_word: false, lstrip: false, rstrip: false };
    tokens.push({ id: tokenId(json, content)!, content, ...flags });
  }
  if (tokens.length === 0) return json;
  const replaced = new Set(tokens.map(({ content }) => content));
  const others = json.added_tokens.filter(({ content }) => !replaced.has(content));
  return { ...json, added_tokens: [...others, ...tokens] };
}

/** Padding is masked, so its id rarely matters; but RoBERTa computes positions from it, so it must be the right one. */
function paddingIdOf(raw: TokenizerJson, config: Readonly<Record<string, unknown>>): number {
  const named = tokenContent(config['pad_token']);
  const candidate = [named, '[PAD]', '<pad>'].find((token) => token !== undefined && tokenId(raw, token) !== undefined);
  return (candidate === undefined ? undefined : tokenId(raw, candidate)) ?? raw.padding?.pad_id ?? 0;
}
