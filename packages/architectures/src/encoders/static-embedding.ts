import { TransformerLayers } from './layers.ts';
import type { Architecture } from './network.ts';

/**
 * A table of token vectors and nothing else, as `StaticEmbedding` of sentence-transformers and model2vec: a token's
 * vector does not depend on its neighbours. `config.json` has `model_type` "static-embedding", `vocab_size` and
 * `hidden_size`; the one weight is `embedding.weight`, `[vocab_size, hidden_size]`.
 */
export const staticEmbedding: Architecture = (config) => {
  const hiddenSize = config.integer('hidden_size');
  const vocabularySize = config.integer('vocab_size');
  return {
    hiddenSize,
    maxPositions: Infinity,
    vocabularySize,
    tokenTable: 'embedding.weight',
    weights: () => [['embedding.weight', [vocabularySize, hiddenSize]]],
    encode(ops, weight, inputs) {
      const layers = new TransformerLayers(ops, weight, inputs);
      return layers.result(layers.tokenRows('embedding.weight'));
    },
  };
};
