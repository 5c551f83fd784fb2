// Clusters vectors by k-means, and measures how well the clusters agree with classes.
import { rowOf, throwIfAborted, type Matrix } from '@sentvec/core';
import { checkCount, checkOptionNames, yieldToEventLoop, type OptionNames } from '@sentvec/platform';
import type { EmbedTexts } from '../embed-texts.ts';
import { Random } from '../random.ts';
import type { Evaluation } from '../training-request.ts';
import { BlockedVectors } from './blocked-vectors.ts';
import type { ClassifiedTexts } from './classification.ts';

/** Options of {@link evaluateClustering}. */
export interface ClusteringOptions {
  /** Seed of the initial centres. @default 42 */
  readonly seed?: number | undefined;
  /**
   * How often k-means runs, each time with other initial centres. The run with the lowest inertia is the result.
   * @default 3
   */
  readonly restarts?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const clusteringOptionNames: OptionNames<ClusteringOptions> = { seed: true, restarts: true, signal: true };

/**
 * Clusters the vectors by k-means into as many clusters as there are classes, and compares clusters with classes.
 * Metrics: V-measure (`score`), homogeneity and completeness.
 */
export async function evaluateClustering(
  embed: EmbedTexts,
  { texts, classes }: ClassifiedTexts,
  options: ClusteringOptions = {},
): Promise<Evaluation> {
  checkOptionNames('evaluateClustering()', options, clusteringOptionNames);
  const { signal } = options;
  const clusters = await kMeans(await embed(texts, { signal }), new Set(classes).size, options);
  const metrics = vMeasure(classes, clusters);
  return { score: metrics.v_measure, metrics: { ...metrics } };
}

/**
 * V-measure: the harmonic mean of homogeneity (each cluster has members of one class only) and completeness (all
 * members of a class are in one cluster) (Rosenberg and Hirschberg, 2007).
 */
export function vMeasure(
  classes: readonly unknown[],
  clusters: readonly unknown[],
): { readonly v_measure: number; readonly homogeneity: number; readonly completeness: number } {
  const joint = entropy(classes.map((name, i) => `${String(name)}\0${String(clusters[i])}`));
  const [ofClasses, ofClusters] = [entropy(classes), entropy(clusters)];
  const homogeneity = ofClasses === 0 ? 1 : (ofClasses + ofClusters - joint) / ofClasses;
  const completeness = ofClusters === 0 ? 1 : (ofClasses + ofClusters - joint) / ofClusters;
  const sum = homogeneity + completeness;
  return { v_measure: sum === 0 ? 0 : (2 * homogeneity * completeness) / sum, homogeneity, completeness };
}

function entropy(values: readonly unknown[]): number {
  const counts = new Map<unknown, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts.values()].reduce(
    (sum, count) => sum - (count / values.length) * Math.log(count / values.length),
    0,
  );
}

/**
 * K-means by Lloyd's algorithm with k-means++ initialization (Arthur and Vassilvitskii, 2007), at most 100 iterations.
 * Yields to the event loop every few milliseconds.
 * @param count number of clusters, at most the number of vectors
 * @returns the cluster of each row, 0 to `count - 1`
 * @throws SentvecError `aborted`
 */
export async function kMeans(vectors: Matrix, count: number, options: ClusteringOptions = {}): Promise<number[]> {
  checkOptionNames('kMeans()', options, clusteringOptionNames);
  const { seed = 42, restarts = 3, signal } = options;
  checkCount(restarts, 'restarts');
  let best: Clustering | undefined;
  if (vectors.rows === 0) return [];
  const clusterer = new Clusterer(vectors, count, signal);
  for (let restart = 0; restart < restarts; restart++) {
    const found = await clusterer.cluster(new Random(seed, restart));
    if (best === undefined || found.inertia < best.inertia) best = found;
  }
  return [...best!.clusters];
}

interface Clustering {
  readonly clusters: Int32Array;
  /** Inertia: the sum of squared distances of the rows to their centres. */
  readonly inertia: number;
}

class Clusterer {
  readonly #vectors: Matrix;
  readonly #squares: Float64Array;
  readonly #count: number;
  readonly #blocked: BlockedVectors;
  readonly #signal: AbortSignal | undefined;

  constructor(vectors: Matrix, count: number, signal: AbortSignal | undefined) {
    this.#vectors = vectors;
    this.#count = count;
    this.#signal = signal;
    this.#squares = Float64Array.from({ length: vectors.rows }, (_, row) =>
      rowOf(vectors, row).reduce((sum, entry) => sum + entry * entry, 0),
    );
    this.#blocked = new BlockedVectors(vectors, count);
  }

  async cluster(random: Random): Promise<Clustering> {
    let centres = await this.#firstCentres(random);
    let current = await this.#assign(centres);
    for (let iteration = 0; iteration < 100; iteration++) {
      throwIfAborted(this.#signal);
      centres = this.#meansOf(current.clusters, centres);
      const next = await this.#assign(centres);
      const settled = next.clusters.every((cluster, row) => cluster === current.clusters[row]);
      current = next;
      if (settled) break;
    }
    return current;
  }

  async #firstCentres(random: Random): Promise<Float32Array> {
    const { rows, cols } = this.#vectors;
    const centres = new Float32Array(this.#count * cols);
    const nearest = new Float64Array(rows).fill(Infinity);
    let chosen = random.below(rows);
    for (let index = 0; index < this.#count; index++) {
      await yieldToEventLoop();
      const centre = rowOf(this.#vectors, chosen);
      centres.set(centre, index * cols);
      for (let row = 0; row < rows; row++)
        nearest[row] = Math.min(nearest[row]!, squaredDistance(rowOf(this.#vectors, row), centre));
      let left = random.uniform() * nearest.reduce((sum, distance) => sum + distance, 0);
      chosen = Math.max(
        0,
        nearest.findIndex((distance) => (left -= distance) <= 0),
      );
    }
    return centres;
  }

  /** Finds the nearest centre of each row, by |x - c|² = |x|² - 2 (x · c - |c|² / 2). */
  async #assign(centres: Float32Array): Promise<Clustering> {
    const { rows, cols } = this.#vectors;
    const count = this.#count;
    const clusters = new Int32Array(rows);
    const bias = Float32Array.from({ length: count }, (_, index) => {
      const centre = centres.subarray(index * cols, (index + 1) * cols);
      return -0.5 * centre.reduce((sum, entry) => sum + entry * entry, 0);
    });
    let inertia = 0;
    await this.#blocked.multiply(centres, bias, (products, first, blockRows) => {
      for (let row = 0; row < blockRows; row++) {
        let best = 0;
        for (let index = 1; index < count; index++)
          if (products[row * count + index]! > products[row * count + best]!) best = index;
        clusters[first + row] = best;
        inertia += Math.max(0, this.#squares[first + row]! - 2 * products[row * count + best]!);
      }
    });
    return { clusters, inertia };
  }

  /** The mean of each cluster. The centre of an empty cluster does not change. */
  #meansOf(clusters: Int32Array, centres: Float32Array): Float32Array {
    const { rows, cols, data } = this.#vectors;
    const sums = new Float64Array(this.#count * cols);
    const sizes = new Int32Array(this.#count);
    for (let row = 0; row < rows; row++) {
      const cluster = clusters[row]!;
      sizes[cluster]!++;
      for (let i = 0; i < cols; i++) sums[cluster * cols + i]! += data[row * cols + i]!;
    }
    return centres.map((entry, i) => {
      const size = sizes[Math.floor(i / cols)]!;
      return size === 0 ? entry : sums[i]! / size;
    });
  }
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}
