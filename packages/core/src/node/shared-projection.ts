import type { Matrix, Projection } from '../types.ts';

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
