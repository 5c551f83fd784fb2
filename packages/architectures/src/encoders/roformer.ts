// RoFormer: BERT with rotary position embeddings, which rotate pairs of neighbouring entries of queries and keys.
import type { Architecture } from './architecture.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, type BertSizes, postNormEncoder, readBertSizes } from './post-norm.ts';

/**
 * RoFormer (Su et al., 2021), like `RoFormerModel` of transformers (models/roformer/modeling_roformer.py): BERT with
 * rotary instead of learned position embeddings. Weights have the names of transformers; one of them contains the sines
 * and cosines of the angles.
 */
export const roformer: Architecture = (config) => {
  const read = readBertSizes(config, { tokenTypes: 2 });
  const { heads, headSize } = read.attention;
  if (headSize % 2 !== 0)
    throw config.unsupported(
      'num_attention_heads',
      heads,
      'With rotary position embeddings, the size of a head must be even.',
    );
  const sizes = {
    ...read,
    embeddingSize: config.integer('embedding_size', { fallback: read.hiddenSize }),
  };
  const rotatesValues = config.flag('rotary_value', false);
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const rotateRows = makeRotation(layers, sizes);
      return postNormEncoder(layers, undefined, sizes, undefined, (layer, x) => {
        const linear = (name: string): typeof x =>
          layers.linear(`${layer}.attention.self.${name}`, x, sizes.hiddenSize);
        const values = linear('value');
        return layers.attention(
          rotateRows(linear('query')),
          rotateRows(linear('key')),
          rotatesValues ? rotateRows(values, { keepOrder: true }) : values,
          sizes.attention,
        );
      });
    },
  };
};

/** Rotates the pairs of entries of each head. `rows` has one row for each token. */
type RotateRows<T> = (rows: T, options?: { readonly keepOrder: boolean }) => T;

/**
 * RoFormer pairs two neighbouring entries of a head, but `ops.rotate` pairs the entries of its halves. Therefore the
 * entries are reordered first. Queries and keys keep the new order, because their dot products do not depend on it.
 */
function makeRotation<T>(layers: TransformerLayers<T>, { attention, positions }: BertSizes): RotateRows<T> {
  const { ops } = layers;
  const { heads, headSize } = attention;
  const pairs = headSize / 2;
  const table = layers.fixedWeight('encoder.embed_positions.weight', [positions, headSize]);
  const angles = ops.gather(table, layers.rowPositions());
  const count = ops.shape(angles)[0]!;
  const [sines, cosines] = [0, pairs].map((start) =>
    ops.reshape(ops.slice(angles, 1, start, pairs), [count, 1, pairs]),
  ) as [T, T];
  return (rows, { keepOrder } = { keepOrder: false }) => {
    const halves = ops.transpose(ops.reshape(rows, [count, heads, pairs, 2]), [0, 1, 3, 2]);
    const rotated = ops.rotate(ops.reshape(halves, [count, heads, headSize]), cosines, sines);
    const ordered = keepOrder ? ops.transpose(ops.reshape(rotated, [count, heads, 2, pairs]), [0, 1, 3, 2]) : rotated;
    return ops.reshape(ordered, [count, heads * headSize]);
  };
}
