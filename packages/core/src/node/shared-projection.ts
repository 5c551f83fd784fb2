import type { Matrix, Projection } from '../types.ts';

const shared = new WeakMap<Projection, Projection>();

/**
 * A projection with its weights in memory that threads share: it crosses to any number of threads without a copy.
 * @returns the same one each time that it is given the same one
 */
export function sharedProjection(projection: Projection): Projection {
  const known = shared.get(projection);
  if (known !== undefined) return known;
  const made = share(projection);
  shared.set(projection, made);
  return made;
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
