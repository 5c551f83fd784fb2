// Sparse vectors: checks, conversions, and the dot product.
import { SentvecError } from '../errors.ts';

/** A sparse vector: the entries that are not zero. */
export interface SparseVector {
  /** Indices of the entries, strictly ascending. In vectors of a sparse model they are token ids. */
  readonly indices: Int32Array;
  /** The entries: `values[i]` is at index `indices[i]`. */
  readonly values: Float32Array;
}

/** The dot product of two sparse vectors, summed in double precision in the order of the indices. */
export function sparseDot(a: SparseVector, b: SparseVector): number {
  let sum = 0;
  for (let i = 0, j = 0; i < a.indices.length && j < b.indices.length;) {
    const difference = a.indices[i]! - b.indices[j]!;
    if (difference === 0) sum += a.values[i]! * b.values[j]!;
    if (difference <= 0) i += 1;
    if (difference >= 0) j += 1;
  }
  return sum;
}

/**
 * Formats a vector as text for the type `sparsevec` of pgvector: `{1:0.5,8:2}/30522`, with indices that start at 1. The
 * type is limited to 16,000 entries, and its indexes to 1,000: see `maxActiveDims`.
 * @param dimension number of terms: `SparseEmbedder.dimension`
 */
export function sparsevecText({ indices, values }: SparseVector, dimension: number): string {
  return `{${Array.from(indices, (index, i) => `${index + 1}:${values[i]!}`).join()}}/${dimension}`;
}

/** Converts a dense vector to a sparse one. */
export function sparseVector(dense: Float32Array): SparseVector {
  let count = 0;
  for (let i = 0; i < dense.length; i += 1) if (dense[i] !== 0) count += 1;
  const indices = new Int32Array(count);
  const values = new Float32Array(count);
  for (let i = 0, at = 0; at < count; i += 1) {
    if (dense[i] === 0) continue;
    indices[at] = i;
    values[at] = dense[i]!;
    at += 1;
  }
  return { indices, values };
}

/**
 * Keeps the `count` entries with the largest absolute values; of equal ones those with the lowest indices. Returns the
 * vector itself when it has no more entries than that.
 */
export function largestEntries(vector: SparseVector, count: number): SparseVector {
  const { indices, values } = vector;
  if (indices.length <= count) return vector;
  const kept = entriesByValue({ indices, values: values.map(Math.abs) })
    .slice(0, count)
    .sort((a, b) => a - b);
  return { indices: Int32Array.from(kept, (i) => indices[i]!), values: Float32Array.from(kept, (i) => values[i]!) };
}

/** The positions of a vector's entries, ordered by value, largest first; equal values in the order of their indices. */
export function entriesByValue({ values }: SparseVector): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
}

/**
 * @param name name of the vector, for the message
 * @throws SentvecError `invalid-argument` when it is not a sparse vector
 */
export function checkSparseVector(vector: SparseVector, name: string, row?: number): void {
  const problem = validateSparseVector(vector);
  if (problem === undefined) return;
  const details = row === undefined ? {} : { row };
  throw new SentvecError('invalid-argument', `${name} is not a sparse vector: ${problem}.`, details);
}

function validateSparseVector(vector: SparseVector): string | undefined {
  if (!(vector?.indices instanceof Int32Array) || !(vector.values instanceof Float32Array))
    return 'it must have "indices", an Int32Array, and "values", a Float32Array';
  const { indices, values } = vector;
  if (indices.length !== values.length) return `it has ${indices.length} indices and ${values.length} values`;
  for (let i = 0, last = -1; i < indices.length; i += 1) {
    if (indices[i]! <= last) return `its indices must be ascending and at least 0, but ${indices[i]} follows ${last}`;
    if (!Number.isFinite(values[i])) return `its value at index ${indices[i]} is ${values[i]}`;
    last = indices[i]!;
  }
  return undefined;
}
