// RoFormer: BERT with rotary positions, which rotate pairs of neighbouring entries of queries and keys.
import type { Architecture } from './architecture.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, type BertSizes, postNormEncoder, readBertSizes } from './post-norm.ts';

/**
 * RoFormer (Su et al., 2021), as `RoFormerModel` of transformers (models/roformer/modeling_roformer.py): BERT without a
 * table of positions. Weights have the same names; the sines and cosines of the angles are one of them.
 */
export const roformer: Architecture = (config) => {
  const read = readBertSizes(config, { tokenTypes: 2 });
  const { heads, headSize } = read.attention;
  if (headSize % 2 !== 0)
    throw config.unsupported(
      'num_attention_heads',
      heads,
      'Rotary positions rotate pairs of entries, so a head must have an even size.',
    );
  const sizes = {
    ...read,
    embeddingSize: config.integer('embedding_size', { fallback: read.hiddenSize }),
  };
  const turnsValues = config.flag('rotary_value', false);
  return {
    maxPositions: sizes.positions,
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const turn = turner(layers, sizes);
      return postNormEncoder(layers, undefined, sizes, undefined, (layer, x) => {
        const linear = (name: string): typeof x =>
          layers.linear(`${layer}.attention.self.${name}`, x, sizes.hiddenSize);
        const values = linear('value');
        return layers.attention(
          turn(linear('query')),
          turn(linear('key')),
          turnsValues ? turn(values, { keepOrder: true }) : values,
          sizes.attention,
        );
      });
    },
  };
};

/** Turns the pairs of entries of each head in rows, one row for each token. */
type Turn<T> = (rows: T, options?: { readonly keepOrder: boolean }) => T;

/**
 * A pair is two neighbouring entries of a head, but `rotate` pairs the entries of its halves, so the entries are
 * reordered first. Those of queries and keys stay in the new order: their products are the same in any order.
 */
function turner<T>(layers: TransformerLayers<T>, { attention, positions }: BertSizes): Turn<T> {
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
    const turned = ops.rotate(ops.reshape(halves, [count, heads, headSize]), cosines, sines);
    const ordered = keepOrder ? ops.transpose(ops.reshape(turned, [count, heads, 2, pairs]), [0, 1, 3, 2]) : turned;
    return ops.reshape(ordered, [count, heads * headSize]);
  };
}
