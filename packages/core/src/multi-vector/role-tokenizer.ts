import type { TokenizedText, Tokenizer } from '../types.ts';
import type { TextRole } from '../embedder/embedder-types.ts';
import type { LateReading, MultiVectorParts } from './multi-vector-types.ts';

/**
 * The tokenizer of a model of late interaction, as it reads queries or documents: queries are lengthened, and the tokens
 * that give no vectors are marked. Follows `preprocess` in `sentence_transformers/base/modules/transformer.py` and
 * `multi_vector_mask.py` there.
 */
export function roleTokenizer(parts: Pick<MultiVectorParts, 'tokenizer'> & LateReading, role: TextRole): Tokenizer {
  const { tokenizer, expansion, skippedIds, onlyIds } = parts;
  const skipped = skippedIds?.[role];
  const finish = (text: TokenizedText): TokenizedText => {
    const { ids, attended } = role === 'query' && expansion !== undefined ? lengthen(text.ids, expansion) : text;
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
    encode: async (texts, options) => (await tokenizer.encode(texts, options)).map(finish),
    dispose: () => tokenizer.dispose(),
  };
}

function lengthen(
  ids: Int32Array,
  { length, id, attend }: NonNullable<MultiVectorParts['expansion']>,
): Pick<TokenizedText, 'ids' | 'attended'> {
  if (ids.length >= length) return { ids };
  const longer = new Int32Array(length).fill(id);
  longer.set(ids);
  return { ids: longer, attended: attend ? undefined : ids.length };
}
