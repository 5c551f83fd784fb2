// Universal Sentence Encoder Lite, the architecture of the default model.
import type { Architecture } from './architecture.ts';
import type { ConfigReader } from './config.ts';
import type { TransformerLayers } from './layers.ts';

/** No weight bounds the number of positions, so that a configuration could ask for more than fit into memory. */
const mostPositions = 65_536;

/**
 * The position signal of Vaswani et al. (2017) as tensor2tensor lays it out (`get_timing_signal_1d`): the sines of all
 * frequencies, then the cosines. `[positions, width]`, computed in float32 as there.
 */
function timingSignal(positions: number, width: number): Float32Array {
  const frequencies = width >> 1;
  const step = Math.fround(Math.log(10_000) / Math.max(frequencies - 1, 1));
  const signal = new Float32Array(positions * width);
  for (let i = 0; i < frequencies; i += 1) {
    const frequency = Math.fround(Math.exp(-Math.fround(i * step)));
    for (let position = 0; position < positions; position += 1) {
      const angle = Math.fround(position * frequency);
      signal[position * width + i] = Math.sin(angle);
      signal[position * width + frequencies + i] = Math.cos(angle);
    }
  }
  return signal;
}

/**
 * Universal Sentence Encoder Lite (Cer et al., 2018), version 2, up to its token vectors: twice the token embedding
 * plus a position signal, then layers that normalize before attention and before the feed-forward layers. The mean, the
 * dense layer with tanh and the normalization that follow are the model folder's pooling and projections.
 *
 * `config.json`, with the values of the published model:
 *
 * ```json
 * { "model_type": "universal-sentence-encoder-lite", "vocab_size": 8002, "embedding_size": 256, "hidden_size": 512,
 *   "intermediate_size": 1536, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128,
 *   "hidden_act": "relu", "layer_norm_eps": 1e-6, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0 }
 * ```
 *
 * Weights of `model.safetensors`, as PyTorch lays out linear layers (`[out, in]`); `in` is `embedding_size` in layer 0
 * and `hidden_size` in the others; attention works at that width:
 *
 * | name | shape |
 * |---|---|
 * | `embeddings.word_embeddings.weight` | `[vocab_size, embedding_size]` |
 * | `encoder.layer.N.attention.LayerNorm.weight`, `.bias` | `[in]` |
 * | `encoder.layer.N.attention.query.weight`, `.bias`, and so `key`, `value` | `[in, in]`, `[in]` |
 * | `encoder.layer.N.attention.output.weight`, `.bias` | `[hidden_size, in]`, `[hidden_size]` |
 * | `encoder.layer.N.attention.residual.weight`, `.bias`, only where `in` is not `hidden_size` | `[hidden_size, in]`, `[hidden_size]` |
 * | `encoder.layer.N.feed_forward.LayerNorm.weight`, `.bias` | `[hidden_size]` |
 * | `encoder.layer.N.feed_forward.intermediate.weight`, `.bias` | `[intermediate_size, hidden_size]`, `[intermediate_size]` |
 * | `encoder.layer.N.feed_forward.output.weight`, `.bias` | `[hidden_size, intermediate_size]`, `[hidden_size]` |
 */
export const universalSentenceEncoderLite: Architecture = (config) => {
  const sizes = readSizes(config);
  const { embeddingSize, maxPositions, dropout } = sizes;
  return {
    maxPositions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embeddings.word_embeddings.weight',
    encode(layers) {
      const { ops } = layers;
      const tokens = ops.multiply(layers.tokenRows(embeddingSize), 2);
      const signal = layers.constant('timing signal', [maxPositions, embeddingSize], () =>
        timingSignal(maxPositions, embeddingSize),
      );
      const positions = ops.gather(signal, layers.rowPositions());
      let x = layers.dropout(ops.add(tokens, positions), dropout);
      for (let layer = 0; layer < sizes.layers; layer += 1) {
        layers.beginLayer(x);
        const width = layer === 0 ? embeddingSize : sizes.hiddenSize;
        x = encodeLayer(layers, `encoder.layer.${layer}`, x, width, sizes);
      }
      return x;
    },
  };
};

/** A layer that normalizes before attention and before the feed-forward layers; `width` is that of `x`. */
function encodeLayer<T>(layers: TransformerLayers<T>, layer: string, x: T, width: number, sizes: Sizes): T {
  const { ops } = layers;
  const { heads, hiddenSize, epsilon, dropout } = sizes;
  const [attention, feedForward] = [`${layer}.attention`, `${layer}.feed_forward`];
  const input = layers.layerNorm(`${attention}.LayerNorm`, x, epsilon);
  const query = layers.linear(`${attention}.query`, input, width);
  const key = layers.linear(`${attention}.key`, input, width);
  const value = layers.linear(`${attention}.value`, input, width);
  const attentionSizes = { heads, headSize: width / heads, dropout: sizes.attentionDropout };
  const attended = layers.attention(query, key, value, attentionSizes);
  const mixed = layers.dropout(layers.linear(`${attention}.output`, attended, hiddenSize), dropout);
  const residual = width === hiddenSize ? x : layers.linear(`${attention}.residual`, x, hiddenSize);
  const middle = ops.add(mixed, residual);
  const normalized = layers.layerNorm(`${feedForward}.LayerNorm`, middle, epsilon);
  const grown = sizes.activation(ops, layers.linear(`${feedForward}.intermediate`, normalized, sizes.intermediateSize));
  return ops.add(layers.dropout(layers.linear(`${feedForward}.output`, grown, hiddenSize), dropout), middle);
}

type Sizes = ReturnType<typeof readSizes>;

function readSizes(config: ConfigReader) {
  const embeddingSize = config.integer('embedding_size');
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  config.headSize(embeddingSize, heads);
  config.headSize(hiddenSize, heads);
  return {
    embeddingSize,
    hiddenSize,
    heads,
    intermediateSize: config.integer('intermediate_size'),
    layers: config.layers('num_hidden_layers'),
    vocabularySize: config.integer('vocab_size'),
    maxPositions: config.integer('max_position_embeddings', { largest: mostPositions }),
    activation: config.activation('hidden_act', 'relu'),
    epsilon: config.epsilon('layer_norm_eps', 1e-6),
    dropout: config.fraction('hidden_dropout_prob', 0),
    attentionDropout: config.fraction('attention_probs_dropout_prob', 0),
  };
}
