import { canonicalJson, sha256 } from '@sentvec/platform';
import type { TokenizerJson } from './tokenizer-json.ts';

/**
 * Hash of a tokenizer, whatever the order of the keys in its file. Vocabularies of 250,000 pieces are common, and
 * sorting one by its pieces would block the event loop for long; its ids put it in order in one pass.
 */
export async function hashTokenizerJson(json: TokenizerJson): Promise<string> {
  const { vocab, merges, ...model } = json.model;
  const rest = { normalizer: json.normalizer, pre_tokenizer: json.pre_tokenizer, post_processor: json.post_processor };
  return sha256(
    canonicalJson({
      ...rest,
      added_tokens: json.added_tokens,
      model,
      vocab: await sha256(
        JSON.stringify(Array.isArray(vocab) ? vocab : piecesById(vocab as Readonly<Record<string, number>>)),
      ),
      merges: await sha256(JSON.stringify(merges ?? null)),
    }),
  );
}

function piecesById(vocab: Readonly<Record<string, number>>): string[] {
  const pieces: string[] = [];
  for (const piece of Object.keys(vocab)) pieces[vocab[piece]!] = piece;
  return pieces;
}
