// The encoders of T5, mT5 and UMT5, which have a relative position bias instead of position embeddings.
import { type ActivationFunction } from '../activations.ts';
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import type { TransformerLayers } from './layers.ts';
import { readRelativeBuckets, relativeBias } from './relative-bias.ts';

/** T5's names for standard configuration keys (`attribute_map` of transformers). */
const keys = {
  hidden_size: 'd_model',
  num_hidden_layers: 'num_layers',
  num_attention_heads: 'num_heads',
  head_dim: 'd_kv',
};

/** The properties in which T5, mT5 and UMT5 differ. */
interface Variant {
  /** The default of `feed_forward_proj`. */
  readonly feedForward: string;
  /** Whether each layer has its own relative position bias, instead of sharing that of the first layer. */
  readonly biasOfEachLayer: boolean;
}

/** The encoder of T5 (Raffel et al., 2020), like `T5EncoderModel` of transformers (models/t5/modeling_t5.py). */
export const t5: Architecture = (config) => encoder(config, { feedForward: 'relu', biasOfEachLayer: false });

/** The encoder of mT5 (Xue et al., 2021), like `MT5EncoderModel` of transformers: T5 with gated feed-forward layers. */
export const mt5: Architecture = (config) => encoder(config, { feedForward: 'gated-gelu', biasOfEachLayer: false });

/** The encoder of UMT5 (Chung et al., 2023), like `UMT5EncoderModel` of transformers: mT5 with a bias in each layer. */
export const umt5: Architecture = (config) => encoder(config, { feedForward: 'gated-gelu', biasOfEachLayer: true });

/** An encoder of pre-norm layers with RMS normalization and linear layers without biases. */
function encoder(config: ConfigReader, variant: Variant): ReturnType<Architecture> {
  const sizes = readSizes(config.withKeys(keys), variant);
  return {
    maxPositions: Infinity,
    vocabularySize: sizes.vocabularySize,
    tokenTable: ['shared.weight', 'encoder.embed_tokens.weight'],
    encode(layers) {
      const { ops } = layers;
      const norm = (name: string, x: ReturnType<typeof layers.tokenRows>) => layers.rmsNorm(name, x, sizes.epsilon);
      const biasOf = (layer: number) => {
        const table = `encoder.block.${layer}.layer.0.SelfAttention.relative_attention_bias.weight`;
        return relativeBias(layers, table, sizes.buckets, sizes.attention.heads);
      };
      const first = biasOf(0);
      let x = layers.dropout(layers.tokenRows(sizes.hiddenSize), sizes.dropout);
      for (let layer = 0; layer < sizes.layers; layer += 1) {
        layers.beginLayer(x);
        const [attention, feedForward] = [0, 1].map((part) => `encoder.block.${layer}.layer.${part}`) as [
          string,
          string,
        ];
        const bias = layer > 0 && variant.biasOfEachLayer ? biasOf(layer) : first;
        x = ops.add(x, attend(layers, `${attention}.SelfAttention`, norm(`${attention}.layer_norm`, x), sizes, bias));
        x = ops.add(
          x,
          feedForwardLayers(layers, `${feedForward}.DenseReluDense`, norm(`${feedForward}.layer_norm`, x), sizes),
        );
      }
      return layers.dropout(norm('encoder.final_layer_norm', x), sizes.dropout);
    },
  };
}

function attend<T>(layers: TransformerLayers<T>, name: string, x: T, sizes: Sizes, distanceBias: T): T {
  const { attention, hiddenSize, dropout } = sizes;
  const linear = (weight: string): T =>
    layers.linear(`${name}.${weight}`, x, attention.heads * attention.headSize, { bias: false });
  const attended = layers.attention(linear('q'), linear('k'), linear('v'), attention, { distanceBias });
  return layers.dropout(layers.linear(`${name}.o`, attended, hiddenSize, { bias: false }), dropout);
}

function feedForwardLayers<T>(layers: TransformerLayers<T>, name: string, x: T, sizes: Sizes): T {
  const { ops } = layers;
  const { intermediateSize, hiddenSize, dropout, feedForward } = sizes;
  const linear = (weight: string, input: T, outputs: number): T =>
    layers.linear(`${name}.${weight}`, input, outputs, { bias: false });
  const active = feedForward.activation(ops, linear(feedForward.isGated ? 'wi_0' : 'wi', x, intermediateSize));
  const grown = feedForward.isGated ? ops.multiply(active, linear('wi_1', x, intermediateSize)) : active;
  return layers.dropout(linear('wo', layers.dropout(grown, dropout), hiddenSize), dropout);
}

type Sizes = ReturnType<typeof readSizes>;

function readSizes(config: ConfigReader, { feedForward }: Variant) {
  config.onlySupports('is_decoder', false);
  const dropout = config.fraction('dropout_rate', 0.1);
  return {
    hiddenSize: config.integer('hidden_size'),
    intermediateSize: config.integer('d_ff'),
    layers: config.layers('num_hidden_layers'),
    vocabularySize: config.integer('vocab_size'),
    // T5 does not scale the attention scores.
    attention: {
      heads: config.integer('num_attention_heads'),
      headSize: config.integer('head_dim', { fallback: 64 }),
      scale: 1,
      dropout,
    },
    buckets: readRelativeBuckets(config),
    epsilon: config.epsilon('layer_norm_epsilon', 1e-6),
    feedForward: readFeedForward(config, feedForward),
    dropout,
  };
}

/**
 * The activation of the feed-forward layers, and whether they are gated. `feed_forward_proj` is the name of an
 * activation, with the prefix `gated-` for gated layers. `dense_act_fn` and `is_gated_act`, which newer versions of
 * transformers save, take precedence.
 */
function readFeedForward(
  config: ConfigReader,
  fallback: string,
): { readonly activation: ActivationFunction; readonly isGated: boolean } {
  const projection = config.text('feed_forward_proj', fallback);
  const isGated = projection.startsWith('gated-');
  const name = projection === 'gated-gelu' ? 'gelu_new' : projection.replace(/^gated-/, '');
  const activation =
    config.text('dense_act_fn', '') === ''
      ? config.activationNamed(name, 'feed_forward_proj')
      : config.activation('dense_act_fn', name);
  return { activation, isGated: config.flag('is_gated_act', isGated) };
}
