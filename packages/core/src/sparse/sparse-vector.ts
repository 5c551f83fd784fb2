// Sparse vectors: the entries that are not zero, their checks, and what is computed of them.
import { SentvecError } from '../errors.ts';

/** A vector by its entries that are not zero. */
export interface SparseVector {
  /** Their indices: ascending, each once. Of a sparse model, ids of tokens. */
  readonly indices: Int32Array;
  /** The entries: `values[i]` is at index `indices[i]`. */
  readonly values: Float32Array;
}

/**
 * The dot product, by which sparse vectors are compared. Summed in double precision, in the order of the indices.
 */
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
 * A vector as text in the form of pgvector's `sparsevec`: `{1:0.5,8:2}/30522`, where indices count from 1. That type
 * has room for 16,000 entries, its indexes for 1,000: see `maxActiveDims`.
 * @param dimension number of terms: `SparseEmbedder.dimension`
 */
export function sparsevecText({ indices, values }: SparseVector, dimension: number): string {
  return `{${Array.from(indices, (index, i) => `${index + 1}:${values[i]!}`).join()}}/${dimension}`;
}

/** The entries of an array that are not zero. */
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
 * The `count` entries farthest from 0, of equal ones those of the lowest indices; the vector itself when it has no
 * more.
 */
export function largestEntries(vector: SparseVector, count: number): SparseVector {
  const { indices, values } = vector;
  if (indices.length <= count) return vector;
  const kept = entriesByValue({ indices, values: values.map(Math.abs) })
    .slice(0, count)
    .sort((a, b) => a - b);
  return { indices: Int32Array.from(kept, (i) => indices[i]!), values: Float32Array.from(kept, (i) => values[i]!) };
}

/** The positions of a vector's entries, largest value first, equal ones in the order of their indices. */
export function entriesByValue({ values }: SparseVector): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
}

/**
 * @param name what the caller calls the vector, for the message
 * @throws SentvecError `invalid-argument` when it is not a sparse vector
 */
export function checkSparseVector(vector: SparseVector, name: string, row?: number): void {
  const fault = faultOf(vector);
  if (fault === undefined) return;
  const details = row === undefined ? {} : { row };
  throw new SentvecError('invalid-argument', `${name} is not a sparse vector: ${fault}.`, details);
}

function faultOf(vector: SparseVector): string | undefined {
  if (!(vector?.indices instanceof Int32Array) || !(vector.values instanceof Float32Array))
    return 'it must have "indices", an Int32Array, and "values", a Float32Array';
  const { indices, values } = vector;
  if (indices.length !== values.length) return `it has ${indices.length} indices and ${values.length} values`;
  for (let i = 0, last = -1; i < indices.length; i += 1) {
    if (indices[i]! <= last) return `index ${indices[i]} comes after ${last}, where indices ascend from 0`;
    if (!Number.isFinite(values[i])) return `its value at index ${indices[i]} is ${values[i]}`;
    last = indices[i]!;
  }
  return undefined;
}
