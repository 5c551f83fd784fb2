// The encoder of gte-base-en-v1.5, gte-multilingual-base and snowflake-arctic-embed-m-v2.0.
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import type { Rotation } from './attention.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, embed, postNorm, readBertSizes } from './post-norm.ts';
import { readRotary, rotationOf } from './rotary.ts';

/**
 * GTE (Zhang et al., 2024), like the published code in Alibaba-NLP/new-impl: BERT with rotary position embeddings and
 * gated feed-forward layers. Weights have the names of that code.
 */
export const gte: Architecture = (config) => {
  const sizes = readSizes(config);
  const { rotary } = sizes;
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const rotation = rotary && rotationOf(layers, rotary);
      const positions = rotary ? undefined : layers.rowPositions();
      let x = embed(layers, positions, sizes);
      for (let index = 0; index < sizes.layers; index += 1) {
        layers.beginLayer(x);
        const layer = `encoder.layer.${index}`;
        x = postNorm(layers, x, sizes, {
          attend: (input) => attend(layers, `${layer}.attention`, input, sizes, rotation),
          attentionNorm: `${layer}.attn_ln`,
          feedForward: (input) => feedForward(layers, `${layer}.mlp`, input, sizes),
          outputNorm: `${layer}.mlp_ln`,
        });
      }
      return x;
    },
  };
};

function attend<T>(
  layers: TransformerLayers<T>,
  name: string,
  x: T,
  { hiddenSize, attention, packed }: Sizes,
  rotation: Rotation<T> | undefined,
): T {
  const [queries, keys, values] = (
    packed
      ? layers.linearParts(`${name}.qkv_proj`, x, 3, hiddenSize)
      : ['q_proj', 'k_proj', 'v_proj'].map((part) => layers.linear(`${name}.${part}`, x, hiddenSize))
  ) as [T, T, T];
  return layers.linear(`${name}.o_proj`, layers.attention(queries, keys, values, attention, { rotation }), hiddenSize);
}

function feedForward<T>(layers: TransformerLayers<T>, name: string, x: T, sizes: Sizes): T {
  const { ops } = layers;
  const [up, gate] = layers.linearParts(`${name}.up_gate_proj`, x, 2, sizes.intermediateSize, { bias: false });
  const gated = layers.dropout(ops.multiply(sizes.activation(ops, gate), up), sizes.dropout);
  return layers.linear(`${name}.down_proj`, gated, sizes.hiddenSize);
}

type Sizes = ReturnType<typeof readSizes>;

function readSizes(config: ConfigReader) {
  config.onlySupports('layer_norm_type', 'layer_norm');
  config.onlySupports('logn_attention_scale', false);
  config.onlySupports('logn_attention_clip1', false);
  const sizes = {
    ...readBertSizes(config, { tokenTypes: 1, positions: ['rope', 'absolute'] }),
    packed: config.flag('pack_qkv', true),
  };
  const rotates = config.text('position_embedding_type', 'rope') === 'rope';
  return { ...sizes, rotary: rotates ? readRotary(config, sizes.attention.headSize, { theta: 10_000 }) : undefined };
}
