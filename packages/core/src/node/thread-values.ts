// What is sent to threads: copies of batches, and projections in shared memory.
import type { Matrix, Projection, TokenBatch } from '../types.ts';

/**
 * Copies a batch, to send it to a thread. The arrays of the batch stay the caller's; and of a part of a larger array, all
 * of it would be cloned.
 */
export function copyBatch({ ids, mask, typeIds, rows, cols }: TokenBatch): TokenBatch {
  return { ids: ids.slice(), mask: mask.slice(), typeIds: typeIds?.slice(), rows, cols };
}

const shared = new WeakMap<Projection, Projection>();

/**
 * Copies the weights of a projection into shared memory, so that it can be sent to any number of threads without
 * further copies.
 * @returns the same copy each time for the same projection
 */
export function sharedProjection(projection: Projection): Projection {
  const known = shared.get(projection);
  if (known !== undefined) return known;
  const copy = share(projection);
  shared.set(projection, copy);
  return copy;
}

function share(projection: Projection): Projection {
  if (projection.kind === 'dense') {
    const { weight, bias, residualWeight } = projection;
    return {
      ...projection,
      weight: shareMatrix(weight),
      ...(bias && { bias: shareNumbers(bias) }),
      ...(residualWeight && { residualWeight: shareMatrix(residualWeight) }),
    };
  }
  if (projection.kind !== 'layer-norm') return projection;
  return { ...projection, weight: shareNumbers(projection.weight), bias: shareNumbers(projection.bias) };
}

function shareMatrix({ data, ...sizes }: Matrix): Matrix {
  return { data: shareNumbers(data), ...sizes };
}

function shareNumbers(numbers: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(numbers.byteLength));
  copy.set(numbers);
  return copy;
}
