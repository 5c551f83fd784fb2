import { canonicalJson, sha256 } from '@sentvec/platform';
import type { ModelFiles } from '../types.ts';
import { hashTokenizerJson } from './hash.ts';
import { specialTokensOf, tokenContent, type SpecialTokens } from './special-tokens.ts';
import { readSplitting } from './splitting.ts';
import type { TokenizerJson } from './tokenizer-json.ts';
import { readTokenizerFiles } from './transformers-files.ts';
import { tokenId, vocabularySize } from './vocabulary.ts';

/** All that a tokenizer is made of, whichever library runs it. Plain data: it can be sent to a worker thread. */
export interface TokenizerDefinition {
  /** `tokenizer.json` without what sentvec does itself: truncation, padding, decoding. */
  readonly json: TokenizerJson;
  readonly vocabularySize: number;
  readonly paddingId: number;
  readonly specialTokens: SpecialTokens;
  /** Which end of a long text is cut off. */
  readonly truncationSide: 'left' | 'right';
  /** The text is lower-cased before anything else (`do_lower_case` of `sentence_bert_config.json`). */
  readonly lowercase: boolean;
  /** Hash of all that decides which ids a text has. The order of keys in the files does not matter. */
  readonly hash: string;
}

/**
 * Reads the tokenizer of a model folder: `tokenizer.json`, else `vocab.txt` as BERT's, with what the other files of
 * transformers say about it.
 * @param options.lowercase see {@link TokenizerDefinition.lowercase}. Default false
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export async function readTokenizerDefinition(
  model: ModelFiles,
  options: { readonly lowercase?: boolean } = {},
): Promise<TokenizerDefinition> {
  const { json: raw, file, config } = await readTokenizerFiles(model);
  const { lowercase = false } = options;
  const json = { ...raw, truncation: null, padding: null, decoder: null };
  await readSplitting(json.normalizer, json.pre_tokenizer);
  const side = config['truncation_side'] ?? raw.truncation?.direction;
  const truncationSide = typeof side === 'string' && side.toLowerCase() === 'left' ? 'left' : 'right';
  return {
    json,
    vocabularySize: vocabularySize(json),
    paddingId: paddingIdOf(raw, config),
    specialTokens: specialTokensOf(json, file),
    truncationSide,
    lowercase,
    hash: await sha256(canonicalJson([await hashTokenizerJson(json), truncationSide, lowercase])),
  };
}

/** Padding is masked, so any id of the vocabulary serves; RoBERTa's positions, though, tell padding by its id. */
function paddingIdOf(raw: TokenizerJson, config: Readonly<Record<string, unknown>>): number {
  const named = tokenContent(config['pad_token']);
  const usual = [named, '[PAD]', '<pad>'].find((token) => token !== undefined && tokenId(raw, token) !== undefined);
  return (usual === undefined ? undefined : tokenId(raw, usual)) ?? raw.padding?.pad_id ?? 0;
}
