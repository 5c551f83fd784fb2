/** Returns a seeded generator of random numbers from 0 to 1: mulberry32, by Tommy Ettinger. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Picks one of the values at random. */
export function pick(random, values) {
  return values[Math.floor(random() * values.length)];
}
