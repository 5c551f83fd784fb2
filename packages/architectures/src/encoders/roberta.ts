import type { Operations } from '../operations.ts';
import { TransformerLayers } from './layers.ts';
import type { Architecture } from './network.ts';
import { embed, embeddingWeights, postNormLayer, postNormWeights, readBertSizes } from './post-norm.ts';

/**
 * Position numbers that begin after the padding's own: the padding id at padding, and padding id + 1, + 2, … at the
 * other tokens (`create_position_ids_from_input_ids` of transformers, which goes by the ids, not by the mask).
 */
export function positionsAfterPadding<T>(ops: Operations<T>, ids: T, paddingId: number): T {
  const real = ops.subtract(1, ops.equal(ops.toFloat(ids), paddingId));
  const count = ops.multiply(ops.cumulativeSum(real, 1), real);
  return ops.toIndex(ops.add(count, paddingId));
}

/**
 * RoBERTa (Liu et al., 2019), XLM-RoBERTa and CamemBERT, as `RobertaModel` of transformers
 * (models/roberta/modeling_roberta.py), without its pooler: BERT with other positions. Weights are named as there.
 */
export const roberta: Architecture = (config) => {
  config.onlySupports('position_embedding_type', 'absolute');
  config.onlySupports('is_decoder', false);
  const sizes = readBertSizes(config);
  const types = config.integer('type_vocab_size', { fallback: 1, smallest: 0 });
  const paddingId = config.integer('pad_token_id', { fallback: 1, smallest: 0 });
  return {
    hiddenSize: sizes.hiddenSize,
    maxPositions: config.positionsAfter(paddingId, sizes.positions),
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embeddings.word_embeddings.weight',
    *weights() {
      yield* embeddingWeights(sizes, types);
      for (let layer = 0; layer < sizes.layers; layer += 1) yield* postNormWeights(`encoder.layer.${layer}`, sizes);
    },
    encode(ops, weight, inputs) {
      const layers = new TransformerLayers(ops, weight, inputs);
      const positions = layers.perRow(positionsAfterPadding(ops, inputs.ids, paddingId));
      let x = embed(layers, positions, sizes, types);
      const bias = layers.maskBias();
      for (let layer = 0; layer < sizes.layers; layer += 1)
        x = postNormLayer(layers, `encoder.layer.${layer}`, x, bias, sizes);
      return layers.result(x);
    },
  };
};
