// The relative position bias of T5 and MPNet: relative positions are mapped to buckets whose size grows with the
// distance.
import { absolute } from '../derived-operations.ts';
import { productOf } from '../dimensions.ts';
import type { ConfigReader } from './config.ts';
import { distances } from './attention.ts';
import type { TransformerLayers, WeightName } from './layers.ts';

/**
 * The mapping of relative positions to buckets: half of the buckets are for keys up to the query, half for later keys.
 */
export interface RelativeBuckets {
  readonly buckets: number;
  /** Distances of at least this many positions share the last bucket. */
  readonly maxDistance: number;
}

/** An upper limit, because `bucketStarts` loops over all distances. It is larger than in any published model. */
const maxPositions = 2 ** 20;

/**
 * Reads the buckets from the keys of T5's configuration.
 * @throws SentvecError `invalid-model`
 */
export function readRelativeBuckets(config: ConfigReader): RelativeBuckets {
  const buckets = config.integer('relative_attention_num_buckets', { fallback: 32, smallest: 4 });
  const bounds = { fallback: 128, smallest: (buckets >> 2) + 1, largest: maxPositions };
  return { buckets, maxDistance: config.integer('relative_attention_max_distance', bounds) };
}

/**
 * The smallest distance of each bucket but the first, for one direction. Up to half of the buckets, each distance has
 * its own bucket; larger distances up to `maxDistance` share buckets on a logarithmic scale (Raffel et al., 2020). Every
 * step is rounded to float32 as in `_relative_position_bucket` of transformers, because the rounding decides the bucket
 * of distances at a boundary.
 */
export function bucketStarts(buckets: number, maxDistance: number): number[] {
  const exact = buckets >> 1;
  const { fround, log } = Math;
  const range = fround(log(maxDistance / exact));
  const bucketOf = (distance: number): number => {
    if (distance < exact) return distance;
    const share = fround(fround(log(fround(distance / exact))) / range);
    return Math.min(exact + Math.trunc(fround(share * (buckets - exact))), buckets - 1);
  };
  const starts: number[] = [];
  // The loop continues beyond `maxDistance`, because a share that should be 1 may be rounded to a smaller number.
  for (let distance = 1; distance <= 2 * maxDistance && starts.length < buckets - 1; distance += 1) {
    while (starts.length < bucketOf(distance)) starts.push(distance);
  }
  return starts;
}

/**
 * The attention bias for the distances -length to length - 1 of a key from its query: `[heads, 2 · length]`.
 * @param name the name of the table, which has one row for each bucket
 */
export function relativeBias<T>(
  layers: TransformerLayers<T>,
  name: WeightName,
  { buckets, maxDistance }: RelativeBuckets,
  heads: number,
): T {
  const { ops, length } = layers;
  const count = productOf([2, length]);
  const relative = distances(layers);
  const half = buckets >> 1;
  const starts = layers.constant('starts of buckets', [half - 1], () =>
    Float32Array.from(bucketStarts(half, maxDistance), (start) => start - 0.5),
  );
  const passed = ops.sum(ops.greater(ops.reshape(absolute(ops, relative), [count, 1]), starts), [1]);
  const bucketOf = ops.toIndex(ops.add(passed, ops.multiply(ops.greater(relative, 0), half)));
  return ops.transpose(ops.gather(layers.weight(name, [buckets, heads]), bucketOf), [1, 0]);
}
