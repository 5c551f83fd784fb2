// Pre-norm layers with BERT's sizes: they normalize before attention and before the feed-forward layers, and once more
// after the last layer.
import { sumOfEmbeddings, type BertSizes } from './post-norm.ts';
import type { TransformerLayers } from './layers.ts';

/** The names of a model's normalizations. Its other weights have BERT's names. */
export interface PreNormNames {
  /** Within a layer, before attention. */
  readonly attentionNorm: string;
  /** Within a layer, before its feed-forward layers. */
  readonly intermediateNorm: string;
  /** After all layers. */
  readonly finalNorm: string;
}

/**
 * The sum of the embeddings, not normalized, then all layers. `positions` are the indices of the positions, one for each
 * row.
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
