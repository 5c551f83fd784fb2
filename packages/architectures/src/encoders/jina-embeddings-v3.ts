// jina-embeddings-v3: XLM-RoBERTa with rotary position embeddings.
import type { Architecture } from './architecture.ts';
import { bertTokenTable, embed, postNorm, readBertSizes } from './post-norm.ts';
import { readRotary, rotationOf } from './rotary.ts';

/**
 * jina-embeddings-v3 (Sturua et al., 2024), with the configuration of the published code
 * (jinaai/xlm-roberta-flash-implementation, with the `position_embedding_type` `rotary`) or that of
 * `JinaEmbeddingsV3Model` of transformers. Both have the same weight names. LoRA adapters are merged into the weights
 * when these are read.
 */
export const jinaEmbeddingsV3: Architecture = (config) => {
  config.onlySupports('use_reg_tokens', false);
  config.onlySupports('rotary_emb_scale_base', null);
  config.onlySupports('rotary_emb_interleaved', false);
  const published = config.text('model_type') === 'xlm-roberta';
  const own = published ? config.withKeys({ rope_theta: 'rotary_emb_base' }) : config;
  const sizes = {
    ...readBertSizes(config, { tokenTypes: 1, positions: ['rotary'] }),
    epsilon: config.epsilon('layer_norm_eps', 1e-5),
  };
  const { hiddenSize, attention } = sizes;
  const rotary = readRotary(own, attention.headSize, { theta: published ? 10_000 : 20_000 });
  return {
    maxPositions: rotary.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const rotation = rotationOf(layers, rotary);
      let x = embed(layers, undefined, sizes, 'emb_ln');
      for (let index = 0; index < sizes.layers; index += 1) {
        layers.beginLayer(x);
        const layer = `encoder.layers.${index}`;
        x = postNorm(layers, x, sizes, {
          attend(input) {
            const [queries, keys, values] = layers.linearParts(`${layer}.mixer.Wqkv`, input, 3, hiddenSize);
            const attended = layers.attention(queries, keys, values, attention, { rotation });
            return layers.linear(`${layer}.mixer.out_proj`, attended, hiddenSize);
          },
          attentionNorm: `${layer}.norm1`,
          feedForward(input) {
            const grown = layers.linear(`${layer}.mlp.fc1`, input, sizes.intermediateSize);
            return layers.linear(`${layer}.mlp.fc2`, sizes.activation(layers.ops, grown), hiddenSize);
          },
          outputNorm: `${layer}.norm2`,
        });
      }
      return x;
    },
  };
};
