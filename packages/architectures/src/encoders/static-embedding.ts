import type { Architecture } from './architecture.ts';

/**
 * Static token embeddings, like `StaticEmbedding` of sentence-transformers and model2vec: the vector of a token does
 * not depend on other tokens. `config.json` has the `model_type` "static-embedding", `vocab_size` and `hidden_size`;
 * the only weight is `embedding.weight`, `[vocab_size, hidden_size]`.
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
