// The relative position bias of T5 and MPNet: relative positions fall into buckets that grow with the distance.
import { absolute } from '../derived-operations.ts';
import { productOf } from '../dimensions.ts';
import type { ConfigReader } from './config.ts';
import { distances } from './attention.ts';
import type { TransformerLayers, WeightName } from './layers.ts';

/** How relative positions are put into buckets: half of the buckets for keys up to the query, half for later keys. */
export interface RelativeBuckets {
  readonly buckets: number;
  /** Distances from here on share the last bucket. */
  readonly farthest: number;
}

/** More than any model has. A bound, because `bucketStarts` goes through all distances. */
const maxPositions = 2 ** 20;

/** Reads the buckets by the keys of T5's configuration. @throws SentvecError `invalid-model` */
export function readRelativeBuckets(config: ConfigReader): RelativeBuckets {
  const buckets = config.integer('relative_attention_num_buckets', { fallback: 32, smallest: 4 });
  const bounds = { fallback: 128, smallest: (buckets >> 2) + 1, largest: maxPositions };
  return { buckets, farthest: config.integer('relative_attention_max_distance', bounds) };
}

/**
 * The smallest distance of each bucket but the first, for one direction: whole numbers up to half of the buckets, then
 * growing evenly in the logarithm up to `farthest` (Raffel et al., 2020). Every step is rounded to float32, as in
 * `_relative_position_bucket` of transformers, which decides the bucket of a distance at the start of one.
 */
export function bucketStarts(buckets: number, farthest: number): number[] {
  const exact = buckets >> 1;
  const { fround, log } = Math;
  const range = fround(log(farthest / exact));
  const bucketOf = (distance: number): number => {
    if (distance < exact) return distance;
    const share = fround(fround(log(fround(distance / exact))) / range);
    return Math.min(exact + Math.trunc(fround(share * (buckets - exact))), buckets - 1);
  };
  const starts: number[] = [];
  // The search goes beyond `farthest`, because a share that should be 1 may be rounded to less.
  for (let distance = 1; distance <= 2 * farthest && starts.length < buckets - 1; distance += 1) {
    while (starts.length < bucketOf(distance)) starts.push(distance);
  }
  return starts;
}

/**
 * The bias of attention by distance: `[heads, 2 · length]`, for the distances -length to length - 1 of the key from the
 * query.
 * @param name of the table with a row for each bucket
 */
export function relativeBias<T>(
  layers: TransformerLayers<T>,
  name: WeightName,
  { buckets, farthest }: RelativeBuckets,
  heads: number,
): T {
  const { ops, length } = layers;
  const count = productOf([2, length]);
  const relative = distances(layers);
  const half = buckets >> 1;
  const starts = layers.constant('starts of buckets', [half - 1], () =>
    Float32Array.from(bucketStarts(half, farthest), (start) => start - 0.5),
  );
  const passed = ops.sum(ops.greater(ops.reshape(absolute(ops, relative), [count, 1]), starts), [1]);
  const bucketOf = ops.toIndex(ops.add(passed, ops.multiply(ops.greater(relative, 0), half)));
  return ops.transpose(ops.gather(layers.weight(name, [buckets, heads]), bucketOf), [1, 0]);
}
