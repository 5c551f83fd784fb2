import type { TokenizedText, Tokenizer } from '../types.ts';
import type { TextRole } from '../embedder/embedder-types.ts';
import type { LateReading, MultiVectorParts } from './multi-vector-types.ts';

/**
 * Wraps the tokenizer of a late-interaction model for queries or documents: adds the expansion tokens to queries, and
 * marks the tokens for which there are no vectors. Follows `preprocess` in
 * `sentence_transformers/base/modules/transformer.py` and `multi_vector_mask.py` there.
 */
export function roleTokenizer(parts: Pick<MultiVectorParts, 'tokenizer'> & LateReading, role: TextRole): Tokenizer {
  const { tokenizer, expansion, skippedIds, onlyIds } = parts;
  const skipped = skippedIds?.[role];
  const addExpansionAndMask = (text: TokenizedText): TokenizedText => {
    const { ids, attended } = role === 'query' && expansion !== undefined ? expand(text.ids, expansion) : text;
    const pooled = Uint8Array.from(ids, (id) =>
      skipped?.has(id) === true || (role === 'document' && onlyIds?.has(id) === false) ? 0 : 1,
    );
    return { ...text, ids, attended, pooled };
  };
  return {
    name: tokenizer.name,
    vocabularySize: tokenizer.vocabularySize,
    paddingId: tokenizer.paddingId,
    specialTokens: tokenizer.specialTokens,
    encode: async (texts, options) => (await tokenizer.encode(texts, options)).map(addExpansionAndMask),
    dispose: () => tokenizer.dispose(),
  };
}

function expand(
  ids: Int32Array,
  { length, id, attend }: NonNullable<MultiVectorParts['expansion']>,
): Pick<TokenizedText, 'ids' | 'attended'> {
  if (ids.length >= length) return { ids };
  const expanded = new Int32Array(length).fill(id);
  expanded.set(ids);
  return { ids: expanded, attended: attend ? undefined : ids.length };
}
