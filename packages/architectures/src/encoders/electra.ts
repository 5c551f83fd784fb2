import type { Architecture } from './architecture.ts';
import { bertTokenTable, postNormEncoder, readBertSizes } from './post-norm.ts';

/**
 * ELECTRA (Clark et al., 2020), like `ElectraModel` of transformers (models/electra/modeling_electra.py): BERT whose
 * embeddings may be smaller than the hidden size. Weights have the names of transformers.
 */
export const electra: Architecture = (config) => {
  const sizes = {
    ...readBertSizes(config, { tokenTypes: 2 }),
    embeddingSize: config.integer('embedding_size', { fallback: 128 }),
  };
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode: (layers) => postNormEncoder(layers, layers.rowPositions(), sizes),
  };
};
