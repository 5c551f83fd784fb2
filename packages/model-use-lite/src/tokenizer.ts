import type { Source } from './source.ts';

/**
 * Ids below this are reserved for the graph: no text may be tokenized to one of them (id 0 is the unknown
 * piece).
 */
const reservedIds = 6;

/** So unlikely that the best segmentation never holds such a piece, even when a text spells it out. */
const neverChosen = -10_000;

const space = '▁';

/**
 * The model's tokenizer as a `tokenizer.json`: NFKC, a space mark in front and for each space, then the most probable
 * segmentation into pieces. Seven pieces of colons come without a score, which the published code reads as 0.
 */
export function tokenizerJson(vocabulary: Source['vocabulary']): object {
  const pieces = vocabulary.map(([piece, score], id) => [
    piece,
    id > 0 && id < reservedIds ? neverChosen : (score ?? 0),
  ]);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFKC' },
        { type: 'Prepend', prepend: space },
        { type: 'Replace', pattern: { String: ' ' }, content: space },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Metaspace', replacement: space, prepend_scheme: 'always', split: false },
    model: { type: 'Unigram', unk_id: 0, vocab: pieces, byte_fallback: false },
  };
}
