// LFM2: a decoder with short convolutions in most layers and attention in the other layers.
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import { sumOf } from '../dimensions.ts';
import {
  type DecoderAttention,
  decoderAttention,
  type GatedFeedForward,
  gatedFeedForward,
  type Norm,
  readDecoderSizes,
} from './decoder.ts';
import type { TransformerLayers } from './layers.ts';
import { readRotary, rotationOf } from './rotary.ts';

/**
 * LFM2 (Liquid AI, 2025), like `Lfm2Model` of transformers (models/lfm2/modeling_lfm2.py). Weights have the names of
 * transformers.
 */
export const lfm2: Architecture = (config) => {
  const sizes = readDecoderSizes(config, { keyHeads: 8 });
  const epsilon = config.epsilon('norm_eps', 1e-5);
  const norm: Norm = (layers, name, x) => layers.rmsNorm(name, x, epsilon);
  const attention: DecoderAttention = {
    ...sizes,
    dropout: 0,
    inputBias: false,
    outputBias: false,
    outputName: 'out_proj',
    headNorm: { norm, query: 'q_layernorm', key: 'k_layernorm' },
  };
  const feedForward: GatedFeedForward = {
    intermediateSize: readIntermediateSize(config),
    activation: (ops, x) => ops.multiply(x, ops.sigmoid(x)),
    bias: false,
    gateName: 'w1',
    upName: 'w3',
    downName: 'w2',
  };
  const convolution = {
    width: config.integer('conv_L_cache', { fallback: 3, largest: 1024 }),
    bias: config.flag('conv_bias', false),
  };
  const layerTypes = readLayerTypes(config, sizes.layers);
  const rotary = readRotary(config, sizes.headSize, { theta: 1_000_000 });
  return {
    maxPositions: rotary.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embed_tokens.weight',
    paddingId: sizes.paddingId,
    encode(layers) {
      const { ops } = layers;
      const rotation = rotationOf(layers, rotary);
      let x = layers.tokenRows(sizes.hiddenSize);
      for (const [index, type] of layerTypes.entries()) {
        layers.beginLayer(x);
        const layer = `layers.${index}`;
        const input = norm(layers, `${layer}.operator_norm`, x);
        const mixed =
          type === 'conv'
            ? shortConvolution(layers, `${layer}.conv`, input, convolution)
            : decoderAttention(layers, `${layer}.self_attn`, input, attention, { rotation });
        x = ops.add(x, mixed);
        const middle = norm(layers, `${layer}.ffn_norm`, x);
        x = ops.add(x, gatedFeedForward(layers, `${layer}.feed_forward`, middle, feedForward));
      }
      return norm(layers, 'embedding_norm', x);
    },
  };
};

/**
 * A depthwise convolution over each token and the `width - 1` tokens before it, with one gate before and one after it.
 */
function shortConvolution<T>(
  layers: TransformerLayers<T>,
  name: string,
  x: T,
  { width, bias }: { readonly width: number; readonly bias: boolean },
): T {
  const { ops, length } = layers;
  const hiddenSize = Number(ops.shape(x).at(-1));
  const [before, after, values] = layers.linearParts(`${name}.in_proj`, x, 3, hiddenSize, { bias });
  const weight = layers.weight(`${name}.conv.weight`, [hiddenSize, 1, width]);
  const padded = ops.pad(layers.positions(ops.multiply(before, values)), 1, width - 1, sumOf([length, width - 1]));
  const terms = Array.from({ length: width }, (_, i) =>
    ops.multiply(ops.slice(padded, 1, i, length), ops.reshape(ops.slice(weight, 2, i, 1), [hiddenSize])),
  );
  const sum = layers.rows(terms.reduce((a, b) => ops.add(a, b)));
  const convolved = bias ? ops.add(sum, layers.weight(`${name}.conv.bias`, [hiddenSize])) : sum;
  return layers.linear(`${name}.out_proj`, ops.multiply(after, convolved), hiddenSize, { bias });
}

/**
 * The type of each layer, from `layer_types` or, in older configurations, from the list of the layers with attention.
 */
function readLayerTypes(config: ConfigReader, layers: number): readonly ('full_attention' | 'conv')[] {
  const attending = config.integers('full_attn_idxs');
  return config.layerTypes(['full_attention', 'conv'], layers, (layer) =>
    attending === undefined || attending.includes(layer) ? 'full_attention' : 'conv',
  );
}

/**
 * The size of the feed-forward layers. If `block_auto_adjust_ff_dim` is false, it is the size in the configuration;
 * otherwise two thirds of it, multiplied by `block_ffn_dim_multiplier` and rounded up to a multiple of
 * `block_multiple_of` unless the multiplier is null.
 */
function readIntermediateSize(config: ConfigReader): number {
  const size = config.withKeys({ intermediate_size: 'block_ff_dim' }).integer('intermediate_size');
  if (!config.flag('block_auto_adjust_ff_dim', true)) return size;
  const adjusted = Math.trunc((2 * size) / 3);
  if (config.isNull('block_ffn_dim_multiplier')) return adjusted;
  const multiple = config.integer('block_multiple_of', { fallback: 256 });
  return multiple * Math.ceil(Math.trunc(config.positive('block_ffn_dim_multiplier', 1) * adjusted) / multiple);
}
