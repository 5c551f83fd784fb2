// Decoders that are used as encoders: one kind of layer, configured as Qwen3, Qwen2, Llama, Mistral or EuroBERT.
import { SentvecError } from '@sentvec/core';
import type { ActivationFunction } from '../activations.ts';
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import type { AttentionSizes, Rotation } from './attention.ts';
import type { TransformerLayers } from './layers.ts';
import { readRotary, rotationOf } from './rotary.ts';

/** Normalizes each row of `x` with the weights called `name`. */
export type Norm = <T>(layers: TransformerLayers<T>, name: string, x: T) => T;

/** The attention of a decoder layer: sizes, biases and names of weights. */
export interface DecoderAttention extends AttentionSizes {
  readonly keyHeads: number;
  /** Whether the linear layers of queries, keys and values have a bias. */
  readonly inputBias: boolean;
  readonly outputBias: boolean;
  readonly outputName: string;
  /**
   * The normalization of each head of queries and keys before the rotary embeddings, with the names of its weights.
   * @default none
   */
  readonly headNorm?: { readonly norm: Norm; readonly query: string; readonly key: string } | undefined;
}

/** The gated feed-forward layers of a decoder: `down(activation(gate(x)) · up(x))`. */
export interface GatedFeedForward {
  readonly intermediateSize: number;
  readonly activation: ActivationFunction;
  readonly bias: boolean;
  readonly gateName: string;
  readonly upName: string;
  readonly downName: string;
}

/** Attention with its linear layers. The caller normalizes `x` and adds the residual. */
export function decoderAttention<T>(
  layers: TransformerLayers<T>,
  name: string,
  x: T,
  attention: DecoderAttention,
  { window, rotation }: { readonly window?: number | undefined; readonly rotation: Rotation<T> },
): T {
  const { heads, keyHeads, headSize, headNorm } = attention;
  const { ops } = layers;
  const [rows, hiddenSize] = ops.shape(x);
  const project = (part: string, count: number): T =>
    layers.linear(`${name}.${part}`, x, count * headSize, { bias: attention.inputBias });
  const normalized = (part: 'query' | 'key', projected: T, count: number): T => {
    if (headNorm === undefined) return projected;
    const each = ops.reshape(projected, [rows!, count, headSize]);
    return ops.reshape(headNorm.norm(layers, `${name}.${headNorm[part]}`, each), [rows!, count * headSize]);
  };
  const attended = layers.attention(
    normalized('query', project('q_proj', heads), heads),
    normalized('key', project('k_proj', keyHeads), keyHeads),
    project('v_proj', keyHeads),
    { ...attention, window },
    { rotation },
  );
  return layers.linear(`${name}.${attention.outputName}`, attended, Number(hiddenSize), { bias: attention.outputBias });
}

/** Gated feed-forward layers (Shazeer, 2020). The caller normalizes `x` and adds the residual. */
export function gatedFeedForward<T>(layers: TransformerLayers<T>, name: string, x: T, sizes: GatedFeedForward): T {
  const { intermediateSize, activation, bias } = sizes;
  const { ops } = layers;
  const linear = (part: string, input: T, outputs: number): T =>
    layers.linear(`${name}.${part}`, input, outputs, { bias });
  const gate = activation(ops, linear(sizes.gateName, x, intermediateSize));
  const gated = ops.multiply(gate, linear(sizes.upName, x, intermediateSize));
  return linear(sizes.downName, gated, Number(ops.shape(x).at(-1)));
}

/** The sizes that all decoders have. */
export interface DecoderSizes {
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly paddingId: number | undefined;
  readonly layers: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headSize: number;
  /** Whether a token attends only to itself and to earlier tokens. */
  readonly causal: boolean;
}

/** Defaults for keys that are missing in the configuration. */
interface DecoderDefaults {
  /** @default the number of heads of queries */
  readonly keyHeads?: number | undefined;
  /** @default the hidden size divided by the number of heads */
  readonly headSize?: number | undefined;
}

/**
 * Reads the sizes from the keys of Llama's configuration.
 * @throws SentvecError `invalid-model`
 */
export function readDecoderSizes(config: ConfigReader, defaults: DecoderDefaults = {}): DecoderSizes {
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  const keyHeads = config.integer('num_key_value_heads', {
    fallback: config.isNull('num_key_value_heads') ? heads : (defaults.keyHeads ?? heads),
  });
  if (heads % keyHeads !== 0) {
    throw new SentvecError(
      'invalid-model',
      `${config.file}: num_attention_heads (${heads}) is not a multiple of num_key_value_heads (${keyHeads}).`,
      { file: config.file, key: 'num_key_value_heads' },
    );
  }
  const padding = config.integer('pad_token_id', { fallback: -1, smallest: -1 });
  return {
    hiddenSize,
    vocabularySize: config.integer('vocab_size'),
    paddingId: padding < 0 ? undefined : padding,
    layers: config.layers('num_hidden_layers'),
    heads,
    keyHeads,
    headSize: config.integer('head_dim', { fallback: defaults.headSize ?? Math.floor(hiddenSize / heads) }),
    causal: config.flag('is_causal', true) && !config.flag('use_bidirectional_attention', false),
  };
}

/** The properties in which decoders differ. */
interface Variant extends DecoderDefaults {
  /** @default 1e-6 */
  readonly epsilon?: number | undefined;
  /**
   * Whether tokens also attend to later tokens, in spite of the configuration.
   * @default false
   */
  readonly bidirectional?: boolean | undefined;
  /** Whether each head of queries and keys is normalized. @default false */
  readonly headNorm?: boolean | undefined;
  /** Which linear layers have biases: `input` for queries, keys and values, `output` for the output of attention. */
  readonly biases: (config: ConfigReader) => {
    readonly input: boolean;
    readonly output: boolean;
    readonly feedForward: boolean;
  };
  /**
   * The output size of a linear layer (`linear.weight`) after the last normalization.
   * @default no such layer
   */
  readonly projection?: ((config: ConfigReader) => number | undefined) | undefined;
  /**
   * The sliding window of each layer in tokens, as transformers defines it; `undefined` for a layer without a window.
   * @default all tokens, in every layer
   */
  readonly windows?: ((config: ConfigReader, layers: number) => readonly (number | undefined)[]) | undefined;
}

/**
 * Makes an architecture of pre-norm decoder layers (Touvron et al., 2023), which normalize before attention and before
 * the feed-forward layers.
 */
function decoder(variant: Variant): Architecture {
  return (config) => {
    const sizes = readDecoderSizes(config, variant);
    const { hiddenSize, headSize } = sizes;
    const causal = sizes.causal && variant.bidirectional !== true;
    const biases = variant.biases(config);
    const epsilon = config.epsilon('rms_norm_eps', variant.epsilon ?? 1e-6);
    const norm: Norm = (layers, name, x) => layers.rmsNorm(name, x, epsilon);
    const attention: DecoderAttention = {
      ...sizes,
      causal,
      dropout: config.fraction('attention_dropout', 0),
      inputBias: biases.input,
      outputBias: biases.output,
      outputName: 'o_proj',
      headNorm: variant.headNorm === true ? { norm, query: 'q_norm', key: 'k_norm' } : undefined,
    };
    const feedForward: GatedFeedForward = {
      intermediateSize: config.integer('intermediate_size'),
      activation: config.activation('hidden_act', 'silu'),
      bias: biases.feedForward,
      gateName: 'gate_proj',
      upName: 'up_proj',
      downName: 'down_proj',
    };
    const rotary = readRotary(config, headSize, { theta: 10_000 });
    const projection = variant.projection?.(config);
    const windows = variant.windows?.(config, sizes.layers) ?? Array.from({ length: sizes.layers }, () => undefined);
    return {
      maxPositions: rotary.positions,
      vocabularySize: sizes.vocabularySize,
      tokenTable: 'embed_tokens.weight',
      paddingId: sizes.paddingId,
      encode(layers) {
        const { ops } = layers;
        const rotation = rotationOf(layers, rotary);
        let x = layers.tokenRows(hiddenSize);
        for (const [index, tokens] of windows.entries()) {
          layers.beginLayer(x);
          const layer = `layers.${index}`;
          const window = tokens === undefined ? undefined : maxDistance(tokens, causal);
          const input = norm(layers, `${layer}.input_layernorm`, x);
          x = ops.add(x, decoderAttention(layers, `${layer}.self_attn`, input, attention, { window, rotation }));
          const middle = norm(layers, `${layer}.post_attention_layernorm`, x);
          x = ops.add(x, gatedFeedForward(layers, `${layer}.mlp`, middle, feedForward));
        }
        const normalized = norm(layers, 'norm', x);
        return projection === undefined ? normalized : layers.linear('linear', normalized, projection, { bias: false });
      },
    };
  };
}

/**
 * The largest distance at which a token attends to another, in positions, for a sliding window of transformers
 * (masking_utils.py). For causal attention, the window of transformers includes the token itself.
 */
export function maxDistance(window: number, causal: boolean): number {
  return causal ? window - 1 : window;
}

/**
 * The sliding windows of Qwen. Without `use_sliding_window` there are none; otherwise the layers in `layer_types` have
 * one, or, without that list, the layers from `max_window_layers` on.
 */
function qwenWindows(config: ConfigReader, layers: number): readonly (number | undefined)[] {
  const used = config.flag('use_sliding_window', false) && !config.isNull('sliding_window');
  const window = used ? config.integer('sliding_window', { fallback: 4096 }) : undefined;
  const first = config.integer('max_window_layers', { fallback: 28, smallest: 0 });
  const types = config.layerTypes(['full_attention', 'sliding_attention'], layers, (layer) =>
    window !== undefined && layer >= first ? 'sliding_attention' : 'full_attention',
  );
  if (window === undefined && types.includes('sliding_attention'))
    throw config.unsupported(
      'layer_types',
      types,
      'Layers of the type "sliding_attention" require "use_sliding_window": true and "sliding_window".',
    );
  return types.map((type) => (type === 'sliding_attention' ? window : undefined));
}

const attentionBias = (config: ConfigReader): ReturnType<Variant['biases']> => {
  const bias = config.flag('attention_bias', false);
  return { input: bias, output: bias, feedForward: false };
};

const allBiases = (config: ConfigReader): ReturnType<Variant['biases']> => ({
  ...attentionBias(config),
  feedForward: config.flag('mlp_bias', false),
});

const qwen3Variant: Variant = {
  keyHeads: 32,
  headSize: 128,
  headNorm: true,
  biases: attentionBias,
  windows: qwenWindows,
  // Among bidirectional Qwen3 models, only voyage-4-nano sets `num_labels`, which is the size of its projection.
  projection: (config) =>
    config.flag('use_bidirectional_attention', false) && config.has('num_labels')
      ? config.integer('num_labels')
      : undefined,
};

/**
 * Qwen3 (Yang et al., 2025), like `Qwen3Model` of transformers (models/qwen3/modeling_qwen3.py). Weights have the names
 * of transformers.
 */
export const qwen3: Architecture = decoder(qwen3Variant);

/** Qwen3 with bidirectional attention, as in pplx-embed. */
export const bidirectionalQwen3: Architecture = decoder({ ...qwen3Variant, bidirectional: true });

const configuredQwen2 = decoder({
  keyHeads: 32,
  biases: () => ({ input: true, output: false, feedForward: false }),
  windows: qwenWindows,
});

/** Qwen2 (Yang et al., 2024), like `Qwen2Model` of transformers (models/qwen2/modeling_qwen2.py). */
export const qwen2: Architecture = (config) => {
  // gte-Qwen2 contains its own Python code, which decides whether attention is causal.
  const code = config.section('auto_map')?.text('AutoModel', '') ?? '';
  if (code.endsWith('modeling_qwen.Qwen2Model') && !config.has('is_causal'))
    throw config.unsupported(
      'auto_map',
      code,
      'The Python code of this model decides whether attention is causal: add "is_causal": true or false to config.json.',
    );
  return configuredQwen2(config);
};

/** Llama (Touvron et al., 2023), like `LlamaModel` of transformers (models/llama/modeling_llama.py). */
export const llama: Architecture = decoder({ biases: allBiases });

/** Llama with bidirectional attention, as in llama-embed-nemotron. */
export const bidirectionalLlama: Architecture = decoder({ biases: allBiases, bidirectional: true });

/** Mistral (Jiang et al., 2023), like `MistralModel` of transformers (models/mistral/modeling_mistral.py). */
export const mistral: Architecture = decoder({
  keyHeads: 8,
  biases: () => ({ input: false, output: false, feedForward: false }),
  windows(config, layers) {
    const window = config.isNull('sliding_window') ? undefined : config.integer('sliding_window', { fallback: 4096 });
    return Array.from({ length: layers }, () => window);
  },
});

/** EuroBERT (Boizard et al., 2025), like `EuroBertModel` of transformers (models/eurobert/modeling_eurobert.py). */
export const eurobert: Architecture = decoder({ epsilon: 1e-5, biases: allBiases, bidirectional: true });
