import { TransformerLayers } from './layers.ts';
import type { Architecture } from './network.ts';
import {
  type BertSizes,
  embed,
  embeddingWeights,
  type PostNormNames,
  postNormLayer,
  postNormWeights,
} from './post-norm.ts';

const names: PostNormNames = {
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
 * DistilBERT (Sanh et al., 2019), as `DistilBertModel` of transformers (models/distilbert/modeling_distilbert.py): BERT
 * without token types. Weights are named as there; sinusoidal positions are stored like learned ones.
 */
export const distilbert: Architecture = (config) => {
  const hiddenSize = config.integer('dim');
  const heads = config.integer('n_heads');
  const sizes: BertSizes = {
    hiddenSize,
    intermediateSize: config.integer('hidden_dim'),
    layers: config.integer('n_layers'),
    attention: {
      heads,
      headSize: config.headSize(hiddenSize, heads),
      dropout: config.fraction('attention_dropout', 0.1),
    },
    activation: config.activation('activation', 'gelu'),
    epsilon: 1e-12,
    dropout: config.fraction('dropout', 0.1),
    vocabularySize: config.integer('vocab_size'),
    positions: config.integer('max_position_embeddings'),
  };
  return {
    hiddenSize,
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embeddings.word_embeddings.weight',
    *weights() {
      yield* embeddingWeights(sizes, 0);
      for (let layer = 0; layer < sizes.layers; layer += 1)
        yield* postNormWeights(`transformer.layer.${layer}`, sizes, names);
    },
    encode(ops, weight, inputs) {
      const layers = new TransformerLayers(ops, weight, inputs);
      let x = embed(layers, layers.perRow(ops.range(layers.length)), sizes, 0);
      const bias = layers.maskBias();
      for (let layer = 0; layer < sizes.layers; layer += 1) {
        x = postNormLayer(layers, `transformer.layer.${layer}`, x, bias, sizes, names);
      }
      return layers.result(x);
    },
  };
};
