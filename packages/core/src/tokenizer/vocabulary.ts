import type { AddedToken, TokenizerJson, TokenizerModel } from './tokenizer-json.ts';

/** The id of a token, added or of the model's vocabulary; `undefined` when there is none. */
export function tokenId(json: TokenizerJson, token: string): number | undefined {
  return json.added_tokens.find((added) => added.content === token)?.id ?? modelTokenId(json.model, token);
}

/** One more than the largest id that the tokenizer can give. */
export function vocabularySize(json: TokenizerJson): number {
  const { vocab } = json.model;
  let size = Array.isArray(vocab) ? vocab.length : 0;
  if (!Array.isArray(vocab)) for (const id of Object.values(vocab)) size = Math.max(size, id + 1);
  for (const added of json.added_tokens) size = Math.max(size, added.id + 1);
  return size;
}

/**
 * Gives added tokens the ids that the Rust tokenizers give them, whatever `tokenizer.json` says: that of the model's
 * vocabulary, else the next free one behind it. So all implementations agree, on inconsistent files too.
 */
export function assignAddedTokenIds(json: TokenizerJson): AddedToken[] {
  const { vocab } = json.model;
  const modelSize = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
  const assigned = new Map<string, AddedToken>();
  let largest = -1;
  for (const added of json.added_tokens) {
    if (added.content === '') continue;
    const known = assigned.get(added.content)?.id ?? modelTokenId(json.model, added.content);
    const id = known ?? Math.max(modelSize, largest + 1);
    largest = Math.max(largest, id);
    assigned.set(added.content, { ...added, id });
  }
  return [...assigned.values()];
}

function modelTokenId(model: TokenizerModel, token: string): number | undefined {
  if (!Array.isArray(model.vocab))
    return Object.hasOwn(model.vocab, token) ? (model.vocab as Record<string, number>)[token] : undefined;
  const id = model.vocab.findIndex(([piece]) => piece === token);
  return id === -1 ? undefined : id;
}
