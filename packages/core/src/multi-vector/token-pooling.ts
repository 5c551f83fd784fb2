/**
 * Token pooling: reduces the number of a document's token vectors by merging similar ones with hierarchical clustering
 * (Clavié, Chaffin and Adams 2024, "Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact
 * via Token Pooling").
 */
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { checkMatrix, checkNumbers } from '../search/vector-checks.ts';
import { rowOf } from '../search/matrix-rows.ts';
import type { Matrix } from '../types.ts';
import type { TokenPoolingOptions } from './multi-vector-types.ts';

const optionNames: OptionNames<TokenPoolingOptions & { readonly roles?: unknown }> = {
  factor: true,
  protectedTokens: true,
  roles: true,
};

/**
 * Clusters the token vectors of a document with Ward's method on cosine distances, so that their number is divided by
 * `factor`. Returns the protected vectors, followed by the mean of each cluster. Vectors must have length 1; the means
 * are not normalized again, as in `HierarchicalTokenPooling` of
 * `sentence_transformers/multi_vector_encoder/modules/token_pooling.py`. Time and memory grow with the square of the
 * rows.
 * @throws SentvecError `invalid-argument`
 */
export function poolTokens(matrix: Matrix, options: TokenPoolingOptions): Matrix {
  checkOptionNames('poolTokens()', options, optionNames);
  const { factor, protectedTokens = 1 } = options;
  checkCount(factor, 'factor');
  checkCount(protectedTokens, 'protectedTokens', 0);
  checkMatrix(matrix, 'The token vectors', 0);
  checkNumbers(matrix, 'The token vectors');
  const { rows, cols } = matrix;
  const kept = Math.min(protectedTokens, rows);
  const count = rows - kept;
  const wanted = Math.max(Math.floor(count / factor), 1);
  if (wanted >= count) return matrix;
  const others = { data: matrix.data.subarray(kept * cols), rows: count, cols };
  const clusters = cut(wardLinkage(cosineDistances(others), count), count, wanted);
  const data = new Float32Array((kept + clusters.length) * cols);
  data.set(matrix.data.subarray(0, kept * cols));
  for (const [index, members] of clusters.entries())
    meanOf(others, members, data.subarray((kept + index) * cols, (kept + index + 1) * cols));
  return { data, rows: kept + clusters.length, cols };
}

/** For each pair of rows, 1 minus their dot product, clamped to 0 to 2. */
function cosineDistances({ data, rows, cols }: Matrix): Float64Array {
  const distances = new Float64Array(rows * rows);
  for (let a = 0; a < rows; a++) {
    for (let b = 0; b < a; b++) {
      let product = 0;
      for (let i = 0; i < cols; i++) product += data[a * cols + i]! * data[b * cols + i]!;
      const distance = Math.min(Math.max(Math.fround(1 - Math.fround(product)), 0), 2);
      distances[a * rows + b] = distance;
      distances[b * rows + a] = distance;
    }
  }
  return distances;
}

/** A merge of two clusters at a distance of `height`. A cluster is identified by one of its members. */
interface Merge {
  readonly a: number;
  readonly b: number;
  readonly height: number;
}

/**
 * Ward's linkage with the nearest-neighbour chain algorithm (Murtagh 1983; Müllner 2011, "Modern hierarchical,
 * agglomerative clustering algorithms"), lowest merges first.
 * @param distances matrix of distances between `count` points; it is overwritten
 */
function wardLinkage(distances: Float64Array, count: number): Merge[] {
  const sizes = new Float64Array(count).fill(1);
  const merges: Merge[] = [];
  const chain: number[] = [];
  while (merges.length < count - 1) {
    if (chain.length === 0) chain.push(sizes.findIndex((size) => size > 0));
    const [a, b] = endOfChain(chain, distances, sizes);
    const height = distances[a * count + b]!;
    merges.push({ a, b, height });
    update(distances, sizes, a, b);
  }
  return merges.sort((x, y) => x.height - y.height);
}

/**
 * Extends the chain by nearest neighbours until its last two clusters are mutual nearest neighbours, removes these two
 * from the chain, and returns them. On ties the previous cluster of the chain is preferred.
 */
function endOfChain(chain: number[], distances: Float64Array, sizes: Float64Array): readonly [number, number] {
  const count = sizes.length;
  for (;;) {
    const last = chain.at(-1)!;
    const before = chain.at(-2);
    let nearest = before ?? -1;
    let least = before === undefined ? Infinity : distances[last * count + before]!;
    for (let other = 0; other < count; other++) {
      if (sizes[other] === 0 || other === last || !(distances[last * count + other]! < least)) continue;
      least = distances[last * count + other]!;
      nearest = other;
    }
    if (nearest === before) {
      chain.length -= 2;
      return [Math.min(last, nearest), Math.max(last, nearest)];
    }
    chain.push(nearest);
  }
}

/**
 * Updates the distances after a merge, by the Lance-Williams formula for Ward's method. The merged cluster is stored as
 * `b`.
 */
function update(distances: Float64Array, sizes: Float64Array, a: number, b: number): void {
  const count = sizes.length;
  const [sizeA, sizeB] = [sizes[a]!, sizes[b]!];
  const between = distances[a * count + b]!;
  sizes[a] = 0;
  sizes[b] = sizeA + sizeB;
  for (let other = 0; other < count; other++) {
    const size = sizes[other]!;
    if (size === 0 || other === b) continue;
    const [toA, toB] = [distances[other * count + a]!, distances[other * count + b]!];
    const squares = (size + sizeA) * toA ** 2 + (size + sizeB) * toB ** 2 - size * between ** 2;
    const distance = Math.sqrt(Math.max(squares, 0) / (size + sizeA + sizeB));
    distances[other * count + b] = distance;
    distances[b * count + other] = distance;
  }
}

/**
 * Applies the lowest merges until `clusters` clusters remain, or fewer if merges have equal heights (as `fcluster` of
 * scipy with `maxclust`). Returns the members of each cluster, ordered by their first members.
 */
function cut(merges: readonly Merge[], count: number, clusters: number): number[][] {
  const parent = Int32Array.from({ length: count }, (_, i) => i);
  const root = (point: number): number => {
    let at = point;
    while (parent[at] !== at) at = parent[at] = parent[parent[at]!]!;
    return at;
  };
  const highest = merges[count - clusters - 1]!.height;
  for (const { a, b, height } of merges) if (height <= highest) parent[root(a)] = root(b);
  const members = new Map<number, number[]>();
  for (let point = 0; point < count; point++) {
    const of = root(point);
    const known = members.get(of);
    if (known === undefined) members.set(of, [point]);
    else known.push(point);
  }
  return [...members.values()];
}

function meanOf(matrix: Matrix, members: readonly number[], mean: Float32Array): void {
  const sums = new Float64Array(matrix.cols);
  for (const member of members) for (const [i, entry] of rowOf(matrix, member).entries()) sums[i]! += entry;
  for (const [i, sum] of sums.entries()) mean[i] = sum / members.length;
}
