import type { Architecture } from './architecture.ts';

/**
 * A table of token vectors, as `StaticEmbedding` of sentence-transformers and model2vec: a token's
 * vector does not depend on its neighbours. `config.json` has `model_type` "static-embedding", `vocab_size` and
 * `hidden_size`; the one weight is `embedding.weight`, `[vocab_size, hidden_size]`.
 */
export const staticEmbedding: Architecture = (config) => {
  const hiddenSize = config.integer('hidden_size');
  return {
    maxPositions: Infinity,
    vocabularySize: config.integer('vocab_size'),
    tokenTable: 'embedding.weight',
    encode: (layers) => layers.tokenRows(hiddenSize),
  };
};
