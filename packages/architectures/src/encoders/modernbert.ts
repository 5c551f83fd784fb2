// ModernBERT: rotary position embeddings, gated feed-forward layers, and alternating local (sliding-window) and global
// attention.
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import type { AttentionSizes, Rotation } from './attention.ts';
import type { TransformerLayers } from './layers.ts';
import { readRotary, rotationOf } from './rotary.ts';
import { maskedLanguageHead } from './term-weights.ts';

const layerTypes = ['full_attention', 'sliding_attention'] as const;
type LayerType = (typeof layerTypes)[number];

const tokenTable = 'embeddings.tok_embeddings.weight';

/**
 * ModernBERT (Warner et al., 2024), like `ModernBertModel` of transformers (models/modernbert/modeling_modernbert.py).
 * It normalizes before attention, except in the first layer, and before the feed-forward layers. Weights have the names
 * of transformers.
 */
export const modernBert: Architecture = (config) => {
  const sizes = readSizes(config);
  return {
    maxPositions: sizes.rotary.full_attention.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable,
    maskedLanguageHead: maskedLanguageHead(config, {
      dense: 'head.dense',
      denseBias: config.flag('classifier_bias', false),
      activation: config.activation('classifier_activation', 'gelu'),
      norm: 'head.norm',
      normBias: sizes.normBias,
      epsilon: sizes.epsilon,
      tokenTable,
      decoder: 'decoder.weight',
      bias: config.flag('decoder_bias', true) ? 'decoder.bias' : undefined,
    }),
    encode(layers) {
      const norm = (name: string, x: ReturnType<typeof layers.tokenRows>) =>
        layers.layerNorm(name, x, sizes.epsilon, { bias: sizes.normBias });
      const rotations = {
        full_attention: rotationOf(layers, sizes.rotary.full_attention),
        sliding_attention: rotationOf(layers, sizes.rotary.sliding_attention),
      };
      let x = layers.dropout(norm('embeddings.norm', layers.tokenRows(sizes.hiddenSize)), sizes.embeddingDropout);
      for (const [index, type] of sizes.layerTypes.entries()) {
        layers.beginLayer(x);
        const layer = `layers.${index}`;
        const input = index === 0 ? x : norm(`${layer}.attn_norm`, x);
        x = layers.ops.add(x, attend(layers, `${layer}.attn`, input, sizes, type, rotations[type]));
        x = layers.ops.add(x, feedForward(layers, `${layer}.mlp`, norm(`${layer}.mlp_norm`, x), sizes));
      }
      return norm('final_norm', x);
    },
  };
};

function attend<T>(
  layers: TransformerLayers<T>,
  name: string,
  x: T,
  { hiddenSize, attention, attentionBias, window }: Sizes,
  type: LayerType,
  rotation: Rotation<T>,
): T {
  const bias = { bias: attentionBias };
  const [queries, keys, values] = layers.linearParts(`${name}.Wqkv`, x, 3, hiddenSize, bias);
  const sizes: AttentionSizes = type === 'full_attention' ? attention : { ...attention, window };
  const attended = layers.attention(queries, keys, values, sizes, { rotation });
  return layers.dropout(layers.linear(`${name}.Wo`, attended, hiddenSize, bias), attention.dropout);
}

function feedForward<T>(layers: TransformerLayers<T>, name: string, x: T, sizes: Sizes): T {
  const { ops } = layers;
  const bias = { bias: sizes.feedForwardBias };
  const [input, gate] = layers.linearParts(`${name}.Wi`, x, 2, sizes.intermediateSize, bias);
  const gated = layers.dropout(ops.multiply(sizes.activation(ops, input), gate), sizes.feedForwardDropout);
  return layers.linear(`${name}.Wo`, gated, sizes.hiddenSize, bias);
}

type Sizes = ReturnType<typeof readSizes>;

function readSizes(config: ConfigReader) {
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  const headSize = config.headSize(hiddenSize, heads);
  const globalTheta = config.positive('global_rope_theta', 160_000);
  const localTheta = config.positive('local_rope_theta', config.isNull('local_rope_theta') ? globalTheta : 10_000);
  return {
    hiddenSize,
    intermediateSize: config.integer('intermediate_size'),
    vocabularySize: config.integer('vocab_size'),
    layerTypes: readLayerTypes(config),
    attention: { heads, headSize, dropout: config.fraction('attention_dropout', 0) },
    /**
     * The largest distance at which a token attends to another in layers of the type `sliding_attention`, in positions.
     */
    window: config.integer('local_attention', { fallback: 128 }) >> 1,
    rotary: {
      full_attention: readRotary(config, headSize, { layerType: 'full_attention', theta: globalTheta }),
      sliding_attention: readRotary(config, headSize, { layerType: 'sliding_attention', theta: localTheta }),
    },
    activation: config.activation('hidden_activation', 'gelu'),
    epsilon: config.epsilon('norm_eps', 1e-5),
    normBias: config.flag('norm_bias', false),
    attentionBias: config.flag('attention_bias', false),
    feedForwardBias: config.flag('mlp_bias', false),
    embeddingDropout: config.fraction('embedding_dropout', 0),
    feedForwardDropout: config.fraction('mlp_dropout', 0),
  };
}

/** The type of each layer: transformers 5 saves `layer_types`, earlier versions `global_attn_every_n_layers`. */
function readLayerTypes(config: ConfigReader): LayerType[] {
  const count = config.layers('num_hidden_layers');
  const period = config.integer('global_attn_every_n_layers', { fallback: 3 });
  return config.layerTypes(layerTypes, count, (layer) =>
    layer % period === 0 ? 'full_attention' : 'sliding_attention',
  );
}
