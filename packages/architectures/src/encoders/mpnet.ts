// MPNet: BERT with RoBERTa's positions and a bias of attention by relative position.
import { absolute } from '../derived-operations.ts';
import { productOf } from '../dimensions.ts';
import type { Architecture } from './architecture.ts';
import type { TransformerLayers } from './layers.ts';
import { bertTokenTable, embed, type PostNormNames, postNormLayers, readBertSizes } from './post-norm.ts';
import { positionsAfterPadding } from './roberta.ts';

const names: PostNormNames = {
  layer: 'encoder.layer',
  query: 'attention.attn.q',
  key: 'attention.attn.k',
  value: 'attention.attn.v',
  attentionOutput: 'attention.attn.o',
  attentionNorm: 'attention.LayerNorm',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
  outputNorm: 'output.LayerNorm',
};

const paddingId = 1;
/** Distances from here on share the last bucket. */
const farthest = 128;

/**
 * The smallest distance of each bucket but the first, for one direction: whole numbers up to half of the buckets, then
 * growing evenly in the logarithm up to `farthest` (`relative_position_bucket` of transformers; Raffel et al., 2020).
 */
export function bucketStarts(buckets: number): number[] {
  const exact = buckets >> 1;
  return Array.from({ length: buckets - 1 }, (_, i) => {
    const bucket = i + 1;
    if (bucket <= exact) return bucket;
    // Rounded before the ceiling, so that a power that is a whole number in theory is one.
    const start = exact * (farthest / exact) ** ((bucket - exact) / (buckets - exact));
    return Math.ceil(Number(start.toFixed(9)));
  });
}

/** The bias of attention by distance: `[heads, 2 · length]`, for the distances -length to length - 1. */
function relativeBias<T>(layers: TransformerLayers<T>, buckets: number, heads: number): T {
  const { ops, length } = layers;
  const distances = productOf([2, length]);
  // The distance of key from query; before the query comes the first half of the buckets.
  const relative = ops.subtract(ops.toFloat(ops.range(distances)), ops.size(length));
  const half = buckets >> 1;
  const starts = layers.constant('starts of buckets', [half - 1], () =>
    Float32Array.from(bucketStarts(half), (start) => start - 0.5),
  );
  const passed = ops.sum(ops.greater(ops.reshape(absolute(ops, relative), [distances, 1]), starts), [1]);
  const bucketOf = ops.toIndex(ops.add(passed, ops.multiply(ops.greater(relative, 0), half)));
  const table = layers.weight('encoder.relative_attention_bias.weight', [buckets, heads]);
  return ops.transpose(ops.gather(table, bucketOf), [1, 0]);
}

/**
 * MPNet (Song et al., 2020), as `MPNetModel` of transformers (models/mpnet/modeling_mpnet.py), without its pooler: BERT
 * without token types, with RoBERTa's positions and one relative position bias for all layers. Weights are named as
 * there.
 */
export const mpnet: Architecture = (config) => {
  const sizes = readBertSizes(config);
  const buckets = config.integer('relative_attention_num_buckets', { fallback: 32, smallest: 4 });
  return {
    maxPositions: config.positionsAfter(paddingId, sizes.positions),
    vocabularySize: sizes.vocabularySize,
    tokenTable: bertTokenTable,
    encode(layers) {
      const positions = layers.perRow(positionsAfterPadding(layers.ops, layers.ids, paddingId));
      const embeddings = embed(layers, positions, sizes);
      const distanceBias = relativeBias(layers, buckets, sizes.attention.heads);
      return postNormLayers(layers, embeddings, sizes, names, { distanceBias });
    },
  };
};
