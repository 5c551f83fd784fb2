// Universal Sentence Encoder Lite, the architecture of the model in @sentvec/model-use-lite.
import { absolute, normalizeRows } from '../derived-operations.ts';
import type { Block } from '../operations.ts';
import type { Architecture } from './architecture.ts';
import { maskedScore, type AttentionInputs } from './attention.ts';
import type { ConfigReader } from './config.ts';
import type { TransformerLayers } from './layers.ts';

/**
 * The maximum number of positions. The weights do not limit it, so that without this limit a damaged configuration
 * could exhaust the memory.
 */
const maxPositionsSupported = 65_536;

/**
 * The sinusoidal position embeddings of Vaswani et al. (2017) in the layout of tensor2tensor (`get_timing_signal_1d`):
 * the sines of all frequencies, then the cosines. The shape is `[positions, width]`; the numbers are computed in
 * float32 as there.
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
 * plus sinusoidal position embeddings, then pre-norm layers. The mean, the dense layer with tanh and the normalization
 * that follow are the pooling and projections of the model folder.
 *
 * `config.json`, with the values of the published model:
 *
 * ```json
 * { "model_type": "universal-sentence-encoder-lite", "vocab_size": 8002, "embedding_size": 256, "hidden_size": 512,
 *   "intermediate_size": 1536, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128,
 *   "hidden_act": "relu", "layer_norm_eps": 1e-6, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0 }
 * ```
 * The weights in `model.safetensors`. Linear layers have the layout of PyTorch (`[out, in]`); `in` is `embedding_size`
 * in layer 0 and `hidden_size` in the other layers, and is the width of attention:
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
 *
 * With `"type_vocab_size": 2` and a `"comparison_size"`, it reads two texts as one input, a cross-encoder: the layers
 * above see each text alone, positions begin again with the second, and one more layer compares each token with the
 * other text. See {@link compareTexts}.
 *
 * | name | shape |
 * |---|---|
 * | `comparison.LayerNorm.weight`, `.bias` | `[hidden_size]` |
 * | `comparison.query.weight`, `.bias`, and so `key`, `dense` | `[hidden_size, hidden_size]`, `[hidden_size]` |
 * | `comparison.intermediate.weight`, `.bias` | `[comparison_size, hidden_size + 3 · embedding_size]`, `[comparison_size]` |
 * | `comparison.output.weight`, `.bias` | `[hidden_size, comparison_size]`, `[hidden_size]` |
 */
export const universalSentenceEncoderLite: Architecture = (config) => {
  const sizes = readSizes(config);
  const { embeddingSize, maxPositions, dropout } = sizes;
  return {
    maxPositions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: 'embeddings.word_embeddings.weight',
    tokenTypes: sizes.comparisonSize === 0 ? 0 : 2,
    encode(layers) {
      const { ops } = layers;
      const words = layers.tokenRows(embeddingSize);
      const tokens = ops.multiply(words, 2);
      const pair = sizes.comparisonSize === 0 ? undefined : readPair(layers);
      const signal = layers.constant('timing signal', [maxPositions, embeddingSize], () =>
        timingSignal(maxPositions, embeddingSize),
      );
      const positions = ops.gather(signal, pair?.positions ?? layers.rowPositions());
      let x = layers.dropout(ops.add(tokens, positions), dropout);
      for (let layer = 0; layer < sizes.layers; layer += 1) {
        layers.beginLayer(x);
        const width = layer === 0 ? embeddingSize : sizes.hiddenSize;
        x = encodeLayer(layers, `encoder.layer.${layer}`, x, { width, bias: pair?.own }, sizes);
      }
      return pair === undefined ? x : compareTexts(layers, x, words, pair, sizes);
    },
  };
};

/** A pre-norm layer. `width` is the width of `x`. */
function encodeLayer<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  { width, bias }: { readonly width: number; readonly bias: AttentionBias<T> | undefined },
  sizes: Sizes,
): T {
  const { ops } = layers;
  const { heads, hiddenSize, epsilon, dropout } = sizes;
  const [attention, feedForward] = [`${layer}.attention`, `${layer}.feed_forward`];
  const input = layers.layerNorm(`${attention}.LayerNorm`, x, epsilon);
  const query = layers.linear(`${attention}.query`, input, width);
  const key = layers.linear(`${attention}.key`, input, width);
  const value = layers.linear(`${attention}.value`, input, width);
  const attentionSizes = { heads, headSize: width / heads, dropout: sizes.attentionDropout };
  const attended = layers.attention(query, key, value, attentionSizes, { bias });
  const mixed = layers.dropout(layers.linear(`${attention}.output`, attended, hiddenSize), dropout);
  const residual = width === hiddenSize ? x : layers.linear(`${attention}.residual`, x, hiddenSize);
  const middle = ops.add(mixed, residual);
  const normalized = layers.layerNorm(`${feedForward}.LayerNorm`, middle, epsilon);
  const grown = sizes.activation(ops, layers.linear(`${feedForward}.intermediate`, normalized, sizes.intermediateSize));
  return ops.add(layers.dropout(layers.linear(`${feedForward}.output`, grown, hiddenSize), dropout), middle);
}

type AttentionBias<T> = NonNullable<AttentionInputs<T>['bias']>;

/** Which text of a pair the tokens of a batch belong to. */
interface Pair<T> {
  /** The position of each row in its text: indices. */
  readonly positions: T;
  /** Hides the other text from the attention of a token. */
  readonly own: AttentionBias<T>;
  /** Hides a token's own text, unless there is no other: a text alone is compared with itself. */
  readonly other: AttentionBias<T>;
}

function readPair<T>(layers: TransformerLayers<T>): Pair<T> {
  const { ops, batch, length } = layers;
  const types = layers.types();
  const isPair = ops.reshape(ops.max(types, [1], true), [batch, 1, 1, 1]);
  const firstLengths = ops.sum(ops.multiply(layers.mask(), ops.subtract(1, types)), [1], true);
  const positions = ops.subtract(ops.toFloat(ops.range(length)), ops.multiply(types, firstLengths));
  const differ = ({ start, size, from, length: keys }: Block): T => {
    const ofQueries = ops.reshape(ops.slice(types, 1, start, size), [batch, 1, size, 1]);
    const difference = ops.subtract(ofQueries, ops.reshape(ops.slice(types, 1, from, keys), [batch, 1, 1, keys]));
    return ops.multiply(difference, difference);
  };
  return {
    positions: layers.perRow(ops.toIndex(positions)),
    own: (block) => ops.multiply(differ(block), maskedScore),
    other: (block) => ops.multiply(ops.multiply(ops.subtract(1, differ(block)), isPair), maskedScore),
  };
}

/** How sharply a word picks the words of the other text that are like it: the factor of their cosines. */
const wordSharpness = 10;

/**
 * What each token finds in its own text and, by the same attention, in the other: both go through the dense layer with
 * tanh that makes sentence vectors, and are multiplied. New weights attend to all tokens alike: the sum of a row is then
 * the cosine of the two texts times the width. Feed-forward layers add what differs: between the two vectors, and
 * between the token's word and the words of the other text that are most like it.
 */
function compareTexts<T>(layers: TransformerLayers<T>, x: T, words: T, pair: Pair<T>, sizes: Sizes): T {
  const { ops } = layers;
  const { heads, hiddenSize, embeddingSize, attentionDropout } = sizes;
  const normalized = layers.layerNorm('comparison.LayerNorm', x, sizes.epsilon);
  const query = layers.linear('comparison.query', normalized, hiddenSize);
  const key = layers.linear('comparison.key', normalized, hiddenSize);
  const attentionSizes = { heads, headSize: hiddenSize / heads, dropout: attentionDropout };
  const vectors = (bias: AttentionBias<T>): T => {
    const found = layers.attention(query, key, x, attentionSizes, { bias });
    const vector = normalizeRows(ops, ops.tanh(layers.linear('comparison.dense', found, hiddenSize)));
    return ops.multiply(vector, Math.sqrt(hiddenSize));
  };
  const [own, other] = [vectors(pair.own), vectors(pair.other)];
  const unit = normalizeRows(ops, words);
  const wordSizes = { heads: 1, headSize: embeddingSize, dropout: 0, scale: wordSharpness };
  const alike = layers.attention(unit, unit, words, wordSizes, { bias: pair.other });
  const differences = [absolute(ops, ops.subtract(own, other)), words, absolute(ops, ops.subtract(words, alike))];
  const features = ops.concat([...differences, ops.multiply(words, alike)], 1);
  const grown = sizes.activation(ops, layers.linear('comparison.intermediate', features, sizes.comparisonSize));
  return ops.add(ops.multiply(own, other), layers.linear('comparison.output', grown, hiddenSize));
}

type Sizes = ReturnType<typeof readSizes>;

function readSizes(config: ConfigReader) {
  const embeddingSize = config.integer('embedding_size');
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  config.headSize(embeddingSize, heads);
  config.headSize(hiddenSize, heads);
  const tokenTypes = config.integer('type_vocab_size', { fallback: 0, smallest: 0, largest: 2 });
  return {
    embeddingSize,
    hiddenSize,
    heads,
    comparisonSize: tokenTypes === 2 ? config.integer('comparison_size') : 0,
    intermediateSize: config.integer('intermediate_size'),
    layers: config.layers('num_hidden_layers'),
    vocabularySize: config.integer('vocab_size'),
    maxPositions: config.integer('max_position_embeddings', { largest: maxPositionsSupported }),
    activation: config.activation('hidden_act', 'relu'),
    epsilon: config.epsilon('layer_norm_eps', 1e-6),
    dropout: config.fraction('hidden_dropout_prob', 0),
    attentionDropout: config.fraction('attention_probs_dropout_prob', 0),
  };
}
