// ALBERT, whose layers share the weights of one layer or of a few groups of layers.
import type { Architecture } from './architecture.ts';
import { bertTokenTable, embed, type PostNormNames, postNormLayer, readBertSizes } from './post-norm.ts';

const names: PostNormNames = {
  layer: 'encoder.albert_layer_groups',
  query: 'attention.query',
  key: 'attention.key',
  value: 'attention.value',
  attentionOutput: 'attention.dense',
  attentionNorm: 'attention.LayerNorm',
  intermediate: 'ffn',
  output: 'ffn_output',
  outputNorm: 'full_layer_layer_norm',
};

/**
 * ALBERT (Lan et al., 2020), like `AlbertModel` of transformers (models/albert/modeling_albert.py) without its pooler:
 * BERT with smaller embeddings, which are projected to the hidden size, and with groups of successive layers that share
 * weights. Weights have the names of transformers.
 */
export const albert: Architecture = (config) => {
  const sizes = {
    ...readBertSizes(config, { tokenTypes: 2 }),
    activation: config.activation('hidden_act', 'gelu_new'),
    dropout: config.fraction('hidden_dropout_prob', 0),
    outputDropout: 0,
    embeddingSize: config.integer('embedding_size', { fallback: 128 }),
  };
  const attention = { ...sizes.attention, dropout: config.fraction('attention_probs_dropout_prob', 0) };
  const groups = config.integer('num_hidden_groups', { fallback: 1, largest: sizes.layers });
  const layersOfGroup = config.integer('inner_group_num', { fallback: 1 });
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const embeddings = embed(layers, layers.rowPositions(), sizes);
      let x = layers.linear('encoder.embedding_hidden_mapping_in', embeddings, sizes.hiddenSize);
      for (let step = 0; step < sizes.layers; step += 1) {
        layers.beginLayer(x);
        const group = `${names.layer}.${Math.floor(step / (sizes.layers / groups))}`;
        for (let layer = 0; layer < layersOfGroup; layer += 1) {
          x = postNormLayer(layers, `${group}.albert_layers.${layer}`, x, { ...sizes, attention }, names);
        }
      }
      return x;
    },
  };
};
