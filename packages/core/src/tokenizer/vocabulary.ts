import type { AddedToken, TokenizerJson } from './tokenizer-json.ts';

/** The id of a token, added or of the model's vocabulary; `undefined` when there is none. */
export function tokenId(json: TokenizerJson, token: string): number | undefined {
  return json.added_tokens.find((added) => added.content === token)?.id ?? modelIds(json, new Set([token])).get(token);
}

/** One more than the largest id that the tokenizer can give. */
export function vocabularySize(json: TokenizerJson): number {
  return json.added_tokens.reduce((size, { id }) => Math.max(size, id + 1), modelVocabularySize(json));
}

/** One more than the largest id that the model can give, without added tokens. */
export function modelVocabularySize({ model: { vocab } }: TokenizerJson): number {
  if (Array.isArray(vocab)) return vocab.length;
  let size = 0;
  for (const id of Object.values(vocab)) size = Math.max(size, id + 1);
  return size;
}

/**
 * Gives added tokens the ids that the Rust tokenizers give them, whatever `tokenizer.json` says: that of the model's
 * vocabulary, else the next one, counted from the number of pieces in it. So all implementations agree, on inconsistent
 * files too.
 */
export function assignAddedTokenIds(json: TokenizerJson, tokens: readonly AddedToken[]): AddedToken[] {
  const { vocab } = json.model;
  const known = modelIds(json, new Set(tokens.map(({ content }) => content)));
  const assigned = new Map<number, AddedToken>();
  let next = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
  for (const added of tokens) {
    if (added.content === '') continue;
    let id = known.get(added.content);
    if (id === undefined) {
      id = next;
      next += 1;
      known.set(added.content, id);
    }
    assigned.set(id, { ...added, id });
  }
  return [...assigned.values()];
}

/** The ids of those of some tokens that the vocabulary of the model has. Of a piece that stands twice, the last counts. */
function modelIds({ model: { vocab } }: TokenizerJson, tokens: ReadonlySet<string>): Map<string, number> {
  const ids = new Map<string, number>();
  if (Array.isArray(vocab)) {
    for (const [id, [piece]] of (vocab as readonly (readonly [string, number])[]).entries())
      if (tokens.has(piece)) ids.set(piece, id);
  } else
    for (const token of tokens)
      if (Object.hasOwn(vocab, token)) ids.set(token, (vocab as Record<string, number>)[token]!);
  return ids;
}
