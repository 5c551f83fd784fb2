import type { Matrix } from '@sentvec/core';

/** A matrix of pseudorandom numbers from -1 to 1, the same for the same seed (a linear congruential generator). */
export function randomMatrix(rows: number, cols: number, seed: number): Matrix {
  const next = generator(seed);
  return { data: Float32Array.from({ length: rows * cols }, () => next() * 2 - 1), rows, cols };
}

export function randomBytes(length: number, seed: number): Uint8Array {
  const next = generator(seed);
  return Uint8Array.from({ length }, () => next() * 256);
}

function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
