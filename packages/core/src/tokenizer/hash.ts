import { canonicalJson, sha256 } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { TokenizerJson } from './tokenizer-json.ts';
import { piecesById } from './vocabulary.ts';

/**
 * Hash of a tokenizer that does not depend on the order of keys in its file. Vocabularies of 250,000 tokens are common,
 * and sorting one by its tokens would block the event loop for long; ordering it by ids needs only one pass.
 * @throws SentvecError `invalid-model` when a string in it is not well-formed Unicode
 */
export async function hashTokenizerJson(json: TokenizerJson): Promise<string> {
  const { vocab, merges, ...model } = json.model;
  const { added_tokens, normalizer, pre_tokenizer, post_processor } = json;
  const [vocabHash, mergesHash] = [serialize(vocab), JSON.stringify(merges ?? null)].map((text) =>
    sha256(wellFormed(text)),
  );
  const rest = { normalizer, pre_tokenizer, post_processor, added_tokens, model };
  return sha256(wellFormed(canonicalJson({ ...rest, vocab: await vocabHash, merges: await mergesHash })));
}

function serialize(vocab: TokenizerJson['model']['vocab']): string {
  if (Array.isArray(vocab)) return JSON.stringify(vocab);
  const ids = vocab as Readonly<Record<string, number>>;
  const { pieces, hasSharedIds } = piecesById(ids)!;
  return hasSharedIds ? canonicalJson(ids) : JSON.stringify(pieces);
}

/** A lone surrogate: `JSON.stringify` writes it as an escape sequence. */
const loneSurrogate = /(?<!\\)(?:\\\\)*\\ud[89a-f]/u;

function wellFormed(json: string): string {
  if (!json.includes('\\ud') || !loneSurrogate.test(json)) return json;
  throw new SentvecError(
    'invalid-model',
    'tokenizer.json contains a lone surrogate in a string, which is not valid Unicode. Download it again.',
    { file: 'tokenizer.json' },
  );
}
