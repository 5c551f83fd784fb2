import { rowOf, type Matrix } from '@sentvec/core';
import type { EmbedTexts } from '../embed-texts.ts';
import { Random } from '../random.ts';
import type { Evaluation } from '../training-request.ts';
import type { ClassifiedTexts } from './classification.ts';

/** Options of {@link evaluateClustering}. */
export interface ClusteringOptions {
  /** Of the first centres. Default 42. */
  readonly seed?: number;
  /** Runs with other first centres; the tightest counts. Default 3. */
  readonly restarts?: number;
}

/**
 * Clusters the vectors by k-means into as many clusters as there are classes and compares: v-measure (`score`),
 * homogeneity, completeness.
 */
export async function evaluateClustering(
  embed: EmbedTexts,
  { texts, classes }: ClassifiedTexts,
  options: ClusteringOptions = {},
): Promise<Evaluation> {
  const { seed = 42, restarts = 3 } = options;
  const count = new Set(classes).size;
  const clusters = kMeans(await embed(texts), count, seed, restarts);
  const metrics = vMeasure(classes, clusters);
  return { score: metrics.v_measure, metrics: { ...metrics } };
}

/**
 * Harmonic mean of homogeneity (a cluster holds one class) and completeness (a class lies in one cluster) (Rosenberg
 * and Hirschberg, 2007).
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
 * Lloyd's algorithm from k-means++ centres (Arthur and Vassilvitskii, 2007). @returns the number of each row's cluster
 */
export function kMeans(vectors: Matrix, count: number, seed: number, restarts: number): number[] {
  let best: Clustering | undefined;
  for (let restart = 0; restart < restarts; restart++) {
    const found = lloyd(vectors, firstCentres(vectors, count, new Random(seed, restart)));
    if (best === undefined || found.spread < best.spread) best = found;
  }
  return best?.clusters ?? [];
}

interface Clustering {
  readonly clusters: number[];
  /** Sum of squared distances to the centres. */
  readonly spread: number;
}

function firstCentres(vectors: Matrix, count: number, random: Random): Float64Array[] {
  const rowAt = (row: number) => Float64Array.from(rowOf(vectors, row));
  const centres = [rowAt(random.below(vectors.rows))];
  const nearest = new Float64Array(vectors.rows).fill(Infinity);
  while (centres.length < count) {
    const latest = centres.at(-1)!;
    for (let row = 0; row < vectors.rows; row++)
      nearest[row] = Math.min(nearest[row]!, squaredDistance(vectors, row, latest));
    let left = random.uniform() * nearest.reduce((sum, distance) => sum + distance, 0);
    const chosen = nearest.findIndex((distance) => (left -= distance) <= 0);
    centres.push(rowAt(Math.max(0, chosen)));
  }
  return centres;
}

function lloyd(vectors: Matrix, centres: Float64Array[]): Clustering {
  let clusters: number[] = [];
  for (let iteration = 0; iteration < 100; iteration++) {
    const next = Array.from({ length: vectors.rows }, (_, row) => nearestCentre(vectors, row, centres));
    const settled = next.every((cluster, row) => cluster === clusters[row]);
    clusters = next;
    if (settled) break;
    moveCentres(vectors, clusters, centres);
  }
  return {
    clusters,
    spread: clusters.reduce((sum, cluster, row) => sum + squaredDistance(vectors, row, centres[cluster]!), 0),
  };
}

function nearestCentre(vectors: Matrix, row: number, centres: readonly Float64Array[]): number {
  let [best, nearest] = [0, Infinity];
  for (const [index, centre] of centres.entries()) {
    const distance = squaredDistance(vectors, row, centre);
    if (distance < nearest) [best, nearest] = [index, distance];
  }
  return best;
}

function moveCentres({ data, cols }: Matrix, clusters: readonly number[], centres: readonly Float64Array[]): void {
  for (const [index, centre] of centres.entries()) {
    const rows = [...clusters.keys()].filter((row) => clusters[row] === index);
    if (rows.length === 0) continue;
    centre.fill(0);
    for (const row of rows) for (let i = 0; i < cols; i++) centre[i]! += data[row * cols + i]! / rows.length;
  }
}

function squaredDistance({ data, cols }: Matrix, row: number, centre: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < cols; i++) sum += (data[row * cols + i]! - centre[i]!) ** 2;
  return sum;
}
