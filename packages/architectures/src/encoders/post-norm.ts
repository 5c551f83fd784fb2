// The embeddings and post-norm layers of BERT, which similar architectures use with other names, positions and token
// types.
import type { ActivationFunction } from '../activations.ts';
import type { ConfigReader } from './config.ts';
import type { AttentionInputs, AttentionSizes } from './attention.ts';
import type { TransformerLayers } from './layers.ts';

/** The sizes of BERT and similar architectures. */
export interface BertSizes {
  readonly hiddenSize: number;
  /** The size of the embeddings before a projection to `hiddenSize`. */
  readonly embeddingSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly attention: AttentionSizes;
  readonly activation: ActivationFunction;
  readonly epsilon: number;
  /** The dropout rate of hidden states. */
  readonly dropout: number;
  /**
   * The dropout rate after the feed-forward layers.
   * @default dropout
   */
  readonly outputDropout?: number | undefined;
  readonly vocabularySize: number;
  readonly positions: number;
  /** The number of token types; 0 if there are none. */
  readonly tokenTypes: number;
  /**
   * The number of task types (ERNIE 2, Sun et al., 2020).
   * @default 0
   */
  readonly taskTypes?: number | undefined;
}

/** Differences of a configuration from that of BERT. */
interface BertOptions {
  /**
   * The default of `type_vocab_size`.
   * @default the architecture has no token types, and the key is ignored
   */
  readonly tokenTypes?: number | undefined;
  /**
   * The supported values of `position_embedding_type`; the first is the default of the key.
   * @default ['absolute']
   */
  readonly positions?: readonly string[] | undefined;
}

/**
 * Reads the sizes from the keys of BERT's configuration.
 * @throws SentvecError `invalid-model`, `unsupported-model`
 */
export function readBertSizes(
  config: ConfigReader,
  { tokenTypes, positions = ['absolute'] }: BertOptions = {},
): BertSizes {
  config.onlySupports('position_embedding_type', ...positions);
  config.onlySupports('is_decoder', false);
  const hiddenSize = config.integer('hidden_size');
  const heads = config.integer('num_attention_heads');
  return {
    hiddenSize,
    embeddingSize: hiddenSize,
    intermediateSize: config.integer('intermediate_size'),
    layers: config.layers('num_hidden_layers'),
    attention: {
      heads,
      headSize: config.headSize(hiddenSize, heads),
      dropout: config.fraction('attention_probs_dropout_prob', 0.1),
    },
    activation: config.activation('hidden_act', 'gelu'),
    epsilon: config.epsilon('layer_norm_eps', 1e-12),
    dropout: config.fraction('hidden_dropout_prob', 0.1),
    vocabularySize: config.integer('vocab_size'),
    positions: config.integer('max_position_embeddings'),
    tokenTypes: tokenTypes === undefined ? 0 : config.integer('type_vocab_size', { fallback: tokenTypes, smallest: 0 }),
  };
}

/** The weight names of the layers (`layer`, followed by a number) and of the parts of a layer. */
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

/** The name of the embedding matrix in BERT and similar architectures. */
export const bertTokenTable = 'embeddings.word_embeddings.weight';

/** The name of the token type embeddings in all architectures that have them. */
export const tokenTypeTable = 'embeddings.token_type_embeddings.weight';

/** The sizes that embeddings depend on. */
export type EmbeddingSizes = Pick<
  BertSizes,
  'embeddingSize' | 'tokenTypes' | 'taskTypes' | 'positions' | 'epsilon' | 'dropout'
>;

/**
 * The normalized sum of the embeddings, which is the input of the first layer. See {@link sumOfEmbeddings}.
 * @param norm the name of the normalization (default: `embeddings.LayerNorm`)
 */
export function embed<T>(
  layers: TransformerLayers<T>,
  positions: T | undefined,
  sizes: EmbeddingSizes,
  norm = 'embeddings.LayerNorm',
): T {
  const normalized = layers.layerNorm(norm, sumOfEmbeddings(layers, positions, sizes), sizes.epsilon);
  return layers.dropout(normalized, sizes.dropout);
}

/**
 * The sum of the embeddings of tokens, positions, token types and task types. The task type is 0, as is the token type
 * unless the inputs have token types. `positions` contains an index for each row; it is `undefined` for models without
 * position embeddings.
 */
export function sumOfEmbeddings<T>(layers: TransformerLayers<T>, positions: T | undefined, sizes: EmbeddingSizes): T {
  const { ops } = layers;
  const { embeddingSize, tokenTypes, taskTypes = 0 } = sizes;
  const table = (name: string, rows: number): T => layers.weight(name, [rows, embeddingSize]);
  const positionTable = 'embeddings.position_embeddings.weight';
  let sum = layers.tokenRows(embeddingSize);
  if (positions !== undefined) sum = ops.add(sum, ops.gather(table(positionTable, sizes.positions), positions));
  for (const [name, rows, types] of [
    [tokenTypeTable, tokenTypes, layers.rowTypes()],
    ['embeddings.task_type_embeddings.weight', taskTypes, undefined],
  ] as const) {
    if (rows === 0) continue;
    const embeddings = table(name, rows);
    sum = ops.add(sum, types === undefined ? ops.slice(embeddings, 0, 0, 1) : ops.gather(embeddings, types));
  }
  return sum;
}

/** Computes the attention of a layer, before its output projection. */
type Attend<T> = (layer: string, x: T) => T;

/**
 * Computes the embeddings (see {@link embed}), projects them to the hidden size if they have another size, and applies
 * all layers.
 */
export function postNormEncoder<T>(
  layers: TransformerLayers<T>,
  positions: T | undefined,
  sizes: BertSizes,
  names?: PostNormNames,
  attendIn?: Attend<T>,
): T {
  const embeddings = embed(layers, positions, sizes);
  const projected =
    sizes.embeddingSize === sizes.hiddenSize
      ? embeddings
      : layers.linear('embeddings_project', embeddings, sizes.hiddenSize);
  return postNormLayers(layers, projected, sizes, names, attendIn);
}

/** Applies all layers, one after the other. */
export function postNormLayers<T>(
  layers: TransformerLayers<T>,
  embeddings: T,
  sizes: BertSizes,
  names: PostNormNames = bertNames,
  attendIn: Attend<T> = (layer, x) => attend(layers, layer, x, sizes, names),
): T {
  let x = embeddings;
  for (let layer = 0; layer < sizes.layers; layer += 1) {
    layers.beginLayer(x);
    x = postNormLayer(layers, `${names.layer}.${layer}`, x, sizes, names, attendIn);
  }
  return x;
}

/** Attention with queries, keys and values that are linear projections of `x`. */
export function attend<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  { hiddenSize, attention }: BertSizes,
  names: PostNormNames = bertNames,
  inputs: AttentionInputs<T> = {},
): T {
  const linear = (name: string): T => layers.linear(`${layer}.${name}`, x, hiddenSize);
  return layers.attention(linear(names.query), linear(names.key), linear(names.value), attention, inputs);
}

/** A layer of BERT, or of an architecture with the same layers under other names. */
export function postNormLayer<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  sizes: BertSizes,
  names: PostNormNames = bertNames,
  attendIn: Attend<T> = (_, input) => attend(layers, layer, input, sizes, names),
): T {
  const { hiddenSize } = sizes;
  const linear = (name: string, input: T, outputs: number): T => layers.linear(`${layer}.${name}`, input, outputs);
  return postNorm(layers, x, sizes, {
    attend: (input) => linear(names.attentionOutput, attendIn(layer, input), hiddenSize),
    attentionNorm: `${layer}.${names.attentionNorm}`,
    feedForward: (input) => {
      const grown = sizes.activation(layers.ops, linear(names.intermediate, input, sizes.intermediateSize));
      return linear(names.output, grown, hiddenSize);
    },
    outputNorm: `${layer}.${names.outputNorm}`,
  });
}

/** The parts of a post-norm layer. */
interface PostNormParts<T> {
  readonly attend: (x: T) => T;
  readonly attentionNorm: string;
  readonly feedForward: (x: T) => T;
  readonly outputNorm: string;
}

/**
 * A post-norm layer, which normalizes after each residual (Devlin et al., 2018): attention, then feed-forward layers.
 */
export function postNorm<T>(
  layers: TransformerLayers<T>,
  x: T,
  { epsilon, dropout, outputDropout = dropout }: Pick<BertSizes, 'epsilon' | 'dropout' | 'outputDropout'>,
  { attend: attendTo, attentionNorm, feedForward, outputNorm }: PostNormParts<T>,
): T {
  const { ops } = layers;
  const middle = layers.layerNorm(attentionNorm, ops.add(layers.dropout(attendTo(x), dropout), x), epsilon);
  const output = layers.dropout(feedForward(middle), outputDropout);
  return layers.layerNorm(outputNorm, ops.add(output, middle), epsilon);
}
