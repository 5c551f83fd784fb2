import { TransformerLayers } from './layers.ts';
import { type Architecture, layerNormWeights, linearWeights } from './network.ts';

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
 * plus a position signal, then layers that normalize before attention and before the dense layers. The mean, the dense
 * layer with tanh and the normalization that follow are the model folder's pooling and projections.
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
  const { embeddingSize, hiddenSize, intermediateSize, layers: count, epsilon, dropout, maxPositions } = sizes;
  const inputOf = (layer: number): number => (layer === 0 ? embeddingSize : hiddenSize);

  const encodeLayer = <T>(layers: TransformerLayers<T>, layer: number, x: T, bias: T): T => {
    const { ops } = layers;
    const [attention, feedForward] = [`encoder.layer.${layer}.attention`, `encoder.layer.${layer}.feed_forward`];
    const input = layers.layerNorm(`${attention}.LayerNorm`, x, epsilon);
    const [q, k, v] = ['query', 'key', 'value'].map((name) => layers.linear(`${attention}.${name}`, input)) as [
      T,
      T,
      T,
    ];
    const headSize = inputOf(layer) / sizes.heads;
    const attended = layers.attention(q, k, v, bias, { heads: sizes.heads, headSize, dropout: sizes.attentionDropout });
    const residual = inputOf(layer) === hiddenSize ? x : layers.linear(`${attention}.residual`, x);
    const middle = ops.add(layers.dropout(layers.linear(`${attention}.output`, attended), dropout), residual);
    const normalized = layers.layerNorm(`${feedForward}.LayerNorm`, middle, epsilon);
    const grown = sizes.activation(ops, layers.linear(`${feedForward}.intermediate`, normalized));
    return ops.add(layers.dropout(layers.linear(`${feedForward}.output`, grown), dropout), middle);
  };

  return {
    hiddenSize,
    maxPositions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embeddings.word_embeddings.weight',
    *weights() {
      yield ['embeddings.word_embeddings.weight', [sizes.vocabularySize, embeddingSize]];
      for (let layer = 0; layer < count; layer += 1) {
        const [input, name] = [inputOf(layer), `encoder.layer.${layer}`];
        yield* layerNormWeights(`${name}.attention.LayerNorm`, input);
        for (const part of ['query', 'key', 'value']) yield* linearWeights(`${name}.attention.${part}`, input, input);
        yield* linearWeights(`${name}.attention.output`, input, hiddenSize);
        if (input !== hiddenSize) yield* linearWeights(`${name}.attention.residual`, input, hiddenSize);
        yield* layerNormWeights(`${name}.feed_forward.LayerNorm`, hiddenSize);
        yield* linearWeights(`${name}.feed_forward.intermediate`, hiddenSize, intermediateSize);
        yield* linearWeights(`${name}.feed_forward.output`, intermediateSize, hiddenSize);
      }
    },
    encode(ops, weight, inputs) {
      const layers = new TransformerLayers(ops, weight, inputs);
      const signal = ops.constant(timingSignal(maxPositions, embeddingSize), [maxPositions, embeddingSize]);
      const positions = ops.gather(signal, layers.perRow(ops.range(layers.length)));
      const tokens = ops.multiply(layers.tokenRows('embeddings.word_embeddings.weight'), 2);
      let x = layers.dropout(ops.add(tokens, positions), dropout);
      const bias = layers.maskBias();
      for (let layer = 0; layer < count; layer += 1) x = encodeLayer(layers, layer, x, bias);
      return layers.result(x);
    },
  };
};

type Config = Parameters<Architecture>[0];

function readSizes(config: Config) {
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
    layers: config.integer('num_hidden_layers'),
    vocabularySize: config.integer('vocab_size'),
    maxPositions: config.integer('max_position_embeddings', { largest: mostPositions }),
    activation: config.activation('hidden_act', 'relu'),
    epsilon: config.fraction('layer_norm_eps', 1e-6),
    dropout: config.fraction('hidden_dropout_prob', 0),
    attentionDropout: config.fraction('attention_probs_dropout_prob', 0),
  };
}
