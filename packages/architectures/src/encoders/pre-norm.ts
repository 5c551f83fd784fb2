// Pre-norm layers with the sizes of BERT: they normalize before attention and before the feed-forward layers, and again
// after the last layer.
import { sumOfEmbeddings, type BertSizes } from './post-norm.ts';
import type { TransformerLayers } from './layers.ts';

/** The names of the normalizations. The other weights have the names of BERT. */
export interface PreNormNames {
  /** The normalization before the attention of a layer. */
  readonly attentionNorm: string;
  /** The normalization before the feed-forward layers of a layer. */
  readonly intermediateNorm: string;
  /** The normalization after the last layer. */
  readonly finalNorm: string;
}

/**
 * Computes the sum of the embeddings without a normalization and applies all layers. `positions` contains the position
 * of each row as an index.
 */
export function preNormEncoder<T>(
  layers: TransformerLayers<T>,
  positions: T,
  sizes: BertSizes,
  names: PreNormNames,
): T {
  let x = layers.dropout(sumOfEmbeddings(layers, positions, sizes), sizes.dropout);
  for (let layer = 0; layer < sizes.layers; layer += 1) {
    layers.beginLayer(x);
    x = preNormLayer(layers, `encoder.layer.${layer}`, x, sizes, names);
  }
  return layers.layerNorm(names.finalNorm, x, sizes.epsilon);
}

function preNormLayer<T>(
  layers: TransformerLayers<T>,
  layer: string,
  x: T,
  sizes: BertSizes,
  { attentionNorm, intermediateNorm }: PreNormNames,
): T {
  const { ops } = layers;
  const { hiddenSize, epsilon, dropout, outputDropout = dropout } = sizes;
  const linear = (name: string, input: T, outputs: number): T => layers.linear(`${layer}.${name}`, input, outputs);
  const input = layers.layerNorm(`${layer}.${attentionNorm}`, x, epsilon);
  const attended = layers.attention(
    linear('attention.self.query', input, hiddenSize),
    linear('attention.self.key', input, hiddenSize),
    linear('attention.self.value', input, hiddenSize),
    sizes.attention,
  );
  const mixed = layers.dropout(linear('attention.output.dense', attended, hiddenSize), dropout);
  const middle = ops.add(mixed, x);
  const normalized = layers.layerNorm(`${layer}.${intermediateNorm}`, middle, epsilon);
  const grown = sizes.activation(ops, linear('intermediate.dense', normalized, sizes.intermediateSize));
  return ops.add(layers.dropout(linear('output.dense', grown, hiddenSize), outputDropout), middle);
}
