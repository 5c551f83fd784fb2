import type { Architecture } from './architecture.ts';
import { bertTokenTable, embed, postNormLayers, readBertSizes } from './post-norm.ts';

/**
 * BERT (Devlin et al., 2018), as `BertModel` of transformers (models/bert/modeling_bert.py), without its pooler. Weights
 * are named as there. All tokens have type 0; positions count from 0.
 */
export const bert: Architecture = (config) => {
  const tokenTypes = config.integer('type_vocab_size', { fallback: 2, smallest: 0 });
  const sizes = { ...readBertSizes(config), tokenTypes };
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const embeddings = embed(layers, layers.perRow(layers.ops.range(layers.length)), sizes);
      return postNormLayers(layers, embeddings, sizes);
    },
  };
};
