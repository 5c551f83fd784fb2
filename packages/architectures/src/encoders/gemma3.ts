// Gemma 3: a decoder with four normalizations per layer and alternating local (sliding-window) and global attention.
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import {
  type DecoderAttention,
  decoderAttention,
  maxDistance,
  type GatedFeedForward,
  gatedFeedForward,
  type Norm,
  readDecoderSizes,
} from './decoder.ts';
import { readRotary, rotationOf } from './rotary.ts';

/**
 * The text model of Gemma 3 (Gemma Team, 2025) and of EmbeddingGemma, which is bidirectional, like `Gemma3TextModel` of
 * transformers (models/gemma3/modeling_gemma3.py). Weights have the names of transformers.
 */
export const gemma3: Architecture = (config) => {
  const { sizes, attention, feedForward, layerTypes, window, rotary, norm } = readGemma(config);
  return {
    maxPositions: rotary.full_attention.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embed_tokens.weight',
    paddingId: sizes.paddingId,
    encode(layers) {
      const { ops } = layers;
      const rotations = {
        full_attention: rotationOf(layers, rotary.full_attention),
        sliding_attention: rotationOf(layers, rotary.sliding_attention),
      };
      let x = ops.multiply(layers.tokenRows(sizes.hiddenSize), Math.fround(Math.sqrt(sizes.hiddenSize)));
      for (const [index, type] of layerTypes.entries()) {
        layers.beginLayer(x);
        const layer = `layers.${index}`;
        const normalized = (name: string, rows: typeof x): typeof x => norm(layers, `${layer}.${name}`, rows);
        const attended = decoderAttention(layers, `${layer}.self_attn`, normalized('input_layernorm', x), attention, {
          window: type === 'sliding_attention' ? window : undefined,
          rotation: rotations[type],
        });
        x = ops.add(x, normalized('post_attention_layernorm', attended));
        const grown = gatedFeedForward(layers, `${layer}.mlp`, normalized('pre_feedforward_layernorm', x), feedForward);
        x = ops.add(x, normalized('post_feedforward_layernorm', grown));
      }
      return norm(layers, 'norm', x);
    },
  };
};

function readGemma(config: ConfigReader) {
  for (const key of ['attn_logit_softcapping', 'final_logit_softcapping']) config.onlySupports(key, null);
  const sizes = readDecoderSizes(config, { keyHeads: 4, headSize: 256 });
  const epsilon = config.epsilon('rms_norm_eps', 1e-6);
  const norm: Norm = (layers, name, x) => layers.rmsNorm(name, x, epsilon, { lessOne: true });
  const bias = config.flag('attention_bias', false);
  const attention: DecoderAttention = {
    ...sizes,
    dropout: config.fraction('attention_dropout', 0),
    scale: 1 / Math.sqrt(config.positive('query_pre_attn_scalar', 256)),
    inputBias: bias,
    outputBias: bias,
    outputName: 'o_proj',
    headNorm: { norm, query: 'q_norm', key: 'k_norm' },
  };
  const feedForward: GatedFeedForward = {
    intermediateSize: config.integer('intermediate_size'),
    activation: config.activation('hidden_activation', 'gelu_pytorch_tanh'),
    bias: false,
    gateName: 'gate_proj',
    upName: 'up_proj',
    downName: 'down_proj',
  };
  const period = config.integer('sliding_window_pattern', { fallback: 6 });
  return {
    sizes,
    attention,
    feedForward,
    norm,
    layerTypes: config.layerTypes(['full_attention', 'sliding_attention'], sizes.layers, (layer) =>
      (layer + 1) % period === 0 ? 'full_attention' : 'sliding_attention',
    ),
    window: readWindow(config),
    rotary: {
      full_attention: readRotary(config, sizes.headSize, { layerType: 'full_attention', theta: 1_000_000 }),
      sliding_attention: readRotary(config, sizes.headSize, {
        layerType: 'sliding_attention',
        theta: 10_000,
        thetaKey: 'rope_local_base_freq',
      }),
    },
  };
}

/**
 * The largest distance at which a token attends to another in layers of the type `sliding_attention`, in positions. For
 * a bidirectional model `sliding_window` is the width of the window in both directions; `Gemma3TextConfig` replaces it
 * by half of it plus one, which is an exclusive bound. transformers saves this halved value and halves it again when it
 * loads the folder; this function does the same.
 */
function readWindow(config: ConfigReader): number {
  const window = config.integer('sliding_window', { fallback: 4096 });
  const isBidirectional = config.flag('use_bidirectional_attention', false);
  // If "is_causal" is false, the bound is inclusive.
  const half = (window >> 1) + 1;
  if (config.flag('is_causal', true)) return isBidirectional ? half - 1 : maxDistance(window, true);
  return isBidirectional ? half : maxDistance(window, false);
}
