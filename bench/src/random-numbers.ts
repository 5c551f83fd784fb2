/** Returns a generator of uniform numbers from 0 to 1, reproducible for a seed (mulberry32, public domain). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns uniformly distributed numbers around 0 with a given standard deviation. */
export function randomNumbers(count: number, deviation: number, next: () => number): Float32Array {
  const halfWidth = deviation * Math.sqrt(3);
  return Float32Array.from({ length: count }, () => (2 * next() - 1) * halfWidth);
}

/** Returns the entries in an order determined by the seed (Fisher-Yates shuffle). */
export function shuffled<T>(entries: readonly T[], seed: number): T[] {
  const result = [...entries];
  const next = uniform(seed);
  for (let last = result.length - 1; last > 0; last -= 1) {
    const place = Math.floor(next() * (last + 1));
    [result[last], result[place]] = [result[place]!, result[last]!];
  }
  return result;
}
