import type { Architecture } from './architecture.ts';
import { bertTokenTable, postNormEncoder, type PostNormNames, readBertSizes } from './post-norm.ts';
import { maskedLanguageHead } from './term-weights.ts';

/** DistilBERT's names for the configuration keys of BERT (`attribute_map` of transformers). */
const keys = {
  hidden_size: 'dim',
  intermediate_size: 'hidden_dim',
  num_hidden_layers: 'n_layers',
  num_attention_heads: 'n_heads',
  hidden_act: 'activation',
  hidden_dropout_prob: 'dropout',
  attention_probs_dropout_prob: 'attention_dropout',
};

const names: PostNormNames = {
  layer: 'transformer.layer',
  query: 'attention.q_lin',
  key: 'attention.k_lin',
  value: 'attention.v_lin',
  attentionOutput: 'attention.out_lin',
  attentionNorm: 'sa_layer_norm',
  intermediate: 'ffn.lin1',
  output: 'ffn.lin2',
  outputNorm: 'output_layer_norm',
};

/**
 * DistilBERT (Sanh et al., 2019), like `DistilBertModel` of transformers (models/distilbert/modeling_distilbert.py):
 * BERT without token types. Weights have the names of transformers. Sinusoidal position embeddings are stored in the
 * file like learned ones.
 */
export const distilbert: Architecture = (config) => {
  const sizes = { ...readBertSizes(config.withKeys(keys)), epsilon: 1e-12 };
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode: (layers) => postNormEncoder(layers, layers.rowPositions(), sizes, names),
    maskedLanguageHead: maskedLanguageHead(config, {
      dense: 'vocab_transform',
      activation: sizes.activation,
      norm: 'vocab_layer_norm',
      epsilon: sizes.epsilon,
      tokenTable: bertTokenTable,
      decoder: 'vocab_projector.weight',
      bias: 'vocab_projector.bias',
    }),
  };
};
