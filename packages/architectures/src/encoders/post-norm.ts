import type { ActivationFunction } from '../activations.ts';
import type { ConfigReader } from './config.ts';
import type { AttentionSizes, TransformerLayers } from './layers.ts';
import { layerNormWeights, linearWeights } from './network.ts';

/** Sizes that BERT and its descendants have in common. */
export interface BertSizes {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly attention: AttentionSizes;
  readonly activation: ActivationFunction;
  readonly epsilon: number;
  /** Rate of the dropout of hidden states. */
  readonly dropout: number;
  readonly vocabularySize: number;
  readonly positions: number;
}

/** Reads them by the keys of BERT's configuration. */
export function readBertSizes(config: ConfigReader): BertSizes {
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  return {
    hiddenSize,
    intermediateSize: config.integer('intermediate_size'),
    layers: config.integer('num_hidden_layers'),
    attention: {
      heads,
      headSize: config.headSize(hiddenSize, heads),
      dropout: config.fraction('attention_probs_dropout_prob', 0.1),
    },
    activation: config.activation('hidden_act', 'gelu'),
    epsilon: config.fraction('layer_norm_eps', 1e-12),
    dropout: config.fraction('hidden_dropout_prob', 0.1),
    vocabularySize: config.integer('vocab_size'),
    positions: config.integer('max_position_embeddings'),
  };
}

/** How a post-norm layer names its parts, below the layer's own name. */
export interface PostNormNames {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly attentionOutput: string;
  readonly attentionNorm: string;
  readonly intermediate: string;
  readonly output: string;
  readonly outputNorm: string;
}

const bertNames: PostNormNames = {
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  attentionOutput: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
  outputNorm: 'output.LayerNorm',
};

/** The weights of the layer called `layer`. */
export function postNormWeights(
  layer: string,
  sizes: BertSizes,
  names: PostNormNames = bertNames,
): [string, readonly number[]][] {
  const { hiddenSize, intermediateSize } = sizes;
  return [
    ...[names.query, names.key, names.value, names.attentionOutput].flatMap((name) =>
      linearWeights(`${layer}.${name}`, hiddenSize, hiddenSize),
    ),
    ...layerNormWeights(`${layer}.${names.attentionNorm}`, hiddenSize),
    ...linearWeights(`${layer}.${names.intermediate}`, hiddenSize, intermediateSize),
    ...linearWeights(`${layer}.${names.output}`, intermediateSize, hiddenSize),
    ...layerNormWeights(`${layer}.${names.outputNorm}`, hiddenSize),
  ];
}

/** A layer that normalizes after each residual (Devlin et al., 2018): attention, then two dense layers. */
export function postNormLayer<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  bias: T,
  sizes: BertSizes,
  names: PostNormNames = bertNames,
): T {
  const { ops } = layers;
  const linear = (name: string, input: T): T => layers.linear(`${layer}.${name}`, input);
  const attended = layers.attention(
    linear(names.query, x),
    linear(names.key, x),
    linear(names.value, x),
    bias,
    sizes.attention,
  );
  const mixed = layers.dropout(linear(names.attentionOutput, attended), sizes.dropout);
  const middle = layers.layerNorm(`${layer}.${names.attentionNorm}`, ops.add(mixed, x), sizes.epsilon);
  const grown = sizes.activation(ops, linear(names.intermediate, middle));
  const output = layers.dropout(linear(names.output, grown), sizes.dropout);
  return layers.layerNorm(`${layer}.${names.outputNorm}`, ops.add(output, middle), sizes.epsilon);
}

/** The weights of token, position and token type embeddings. `types` 0: the model has no token types. */
export function embeddingWeights(sizes: BertSizes, types: number): [string, readonly number[]][] {
  return [
    ['embeddings.word_embeddings.weight', [sizes.vocabularySize, sizes.hiddenSize]],
    ['embeddings.position_embeddings.weight', [sizes.positions, sizes.hiddenSize]],
    ...(types === 0
      ? []
      : [['embeddings.token_type_embeddings.weight', [types, sizes.hiddenSize]] as [string, readonly number[]]]),
    ...layerNormWeights('embeddings.LayerNorm', sizes.hiddenSize),
  ];
}

/** The sum of the embeddings, normalized. `positions` are indices, one for each row. All tokens have type 0. */
export function embed<T>(layers: TransformerLayers<T>, positions: T, sizes: BertSizes, types: number): T {
  const { ops } = layers;
  const tokens = layers.tokenRows('embeddings.word_embeddings.weight');
  let sum = ops.add(tokens, ops.gather(layers.weight('embeddings.position_embeddings.weight'), positions));
  if (types > 0) sum = ops.add(sum, ops.slice(layers.weight('embeddings.token_type_embeddings.weight'), 0, 0, 1));
  return layers.dropout(layers.layerNorm('embeddings.LayerNorm', sum, sizes.epsilon), sizes.dropout);
}
