// BERT's embeddings and layers, which its descendants share: they differ in names, positions and token types.
import type { ActivationFunction } from '../activations.ts';
import type { ConfigReader } from './config.ts';
import type { AttentionInputs, AttentionSizes, TransformerLayers } from './layers.ts';

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
  /** How many token types the model has; 0 for none. */
  readonly tokenTypes: number;
}

/** Reads them by the keys of BERT's configuration, without token types. */
export function readBertSizes(config: ConfigReader): BertSizes {
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  return {
    hiddenSize,
    intermediateSize: config.integer('intermediate_size'),
    layers: config.layers('num_hidden_layers'),
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
    tokenTypes: 0,
  };
}

/** How a model names its layers (`layer`, then their number) and the parts of a layer. */
export interface PostNormNames {
  readonly layer: string;
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
  layer: 'encoder.layer',
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  attentionOutput: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
  outputNorm: 'output.LayerNorm',
};

/** What BERT and its descendants call the token table. */
export const bertTokenTable = 'embeddings.word_embeddings.weight';

/** The sum of the embeddings, normalized. `positions` are indices, one for each row. All tokens have type 0. */
export function embed<T>(layers: TransformerLayers<T>, positions: T, sizes: BertSizes): T {
  const { ops } = layers;
  const { hiddenSize, tokenTypes } = sizes;
  const tokens = layers.tokenRows(hiddenSize);
  const positionTable = layers.weight('embeddings.position_embeddings.weight', [sizes.positions, hiddenSize]);
  let sum = ops.add(tokens, ops.gather(positionTable, positions));
  if (tokenTypes > 0) {
    const typeTable = layers.weight('embeddings.token_type_embeddings.weight', [tokenTypes, hiddenSize]);
    sum = ops.add(sum, ops.slice(typeTable, 0, 0, 1));
  }
  return layers.dropout(layers.layerNorm('embeddings.LayerNorm', sum, sizes.epsilon), sizes.dropout);
}

/** All layers, one after the other. */
export function postNormLayers<T>(
  layers: TransformerLayers<T>,
  embeddings: T,
  sizes: BertSizes,
  names: PostNormNames = bertNames,
  inputs: AttentionInputs<T> = {},
): T {
  let x = embeddings;
  for (let layer = 0; layer < sizes.layers; layer += 1) {
    x = postNormLayer(layers, `${names.layer}.${layer}`, x, sizes, names, inputs);
  }
  return x;
}

/** A layer that normalizes after each residual (Devlin et al., 2018): attention, then two dense layers. */
function postNormLayer<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  sizes: BertSizes,
  names: PostNormNames,
  inputs: AttentionInputs<T>,
): T {
  const { ops } = layers;
  const { hiddenSize } = sizes;
  const linear = (name: string, input: T, outputs: number): T => layers.linear(`${layer}.${name}`, input, outputs);
  const attended = layers.attention(
    linear(names.query, x, hiddenSize),
    linear(names.key, x, hiddenSize),
    linear(names.value, x, hiddenSize),
    sizes.attention,
    inputs,
  );
  const mixed = layers.dropout(linear(names.attentionOutput, attended, hiddenSize), sizes.dropout);
  const middle = layers.layerNorm(`${layer}.${names.attentionNorm}`, ops.add(mixed, x), sizes.epsilon);
  const grown = sizes.activation(ops, linear(names.intermediate, middle, sizes.intermediateSize));
  const output = layers.dropout(linear(names.output, grown, hiddenSize), sizes.dropout);
  return layers.layerNorm(`${layer}.${names.outputNorm}`, ops.add(output, middle), sizes.epsilon);
}
