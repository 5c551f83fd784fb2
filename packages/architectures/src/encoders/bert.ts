import { TransformerLayers } from './layers.ts';
import type { Architecture } from './network.ts';
import { embed, embeddingWeights, postNormLayer, postNormWeights, readBertSizes } from './post-norm.ts';

/**
 * BERT (Devlin et al., 2018), as `BertModel` of transformers (models/bert/modeling_bert.py), without its
 * pooler. Weights are named as there. All tokens have type 0; positions count from 0.
 */
export const bert: Architecture = (config) => {
  config.onlySupports('position_embedding_type', 'absolute');
  config.onlySupports('is_decoder', false);
  const sizes = readBertSizes(config);
  const types = config.integer('type_vocab_size', { fallback: 2, smallest: 0 });
  return {
    hiddenSize: sizes.hiddenSize,
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embeddings.word_embeddings.weight',
    *weights() {
      yield* embeddingWeights(sizes, types);
      for (let layer = 0; layer < sizes.layers; layer += 1) yield* postNormWeights(`encoder.layer.${layer}`, sizes);
    },
    encode(ops, weight, inputs) {
      const layers = new TransformerLayers(ops, weight, inputs);
      let x = embed(layers, layers.perRow(ops.range(layers.length)), sizes, types);
      const bias = layers.maskBias();
      for (let layer = 0; layer < sizes.layers; layer += 1)
        x = postNormLayer(layers, `encoder.layer.${layer}`, x, bias, sizes);
      return layers.result(x);
    },
  };
};
