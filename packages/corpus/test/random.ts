/** Seeded random numbers for tests with generated files. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e37_79b1) >>> 0;
  }

  /** Returns a number from 0 (inclusive) to 1 (exclusive), with mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Returns an integer from 0 (inclusive) to the limit (exclusive). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** Returns true with this probability. */
  chance(share: number): boolean {
    return this.next() < share;
  }
}

/**
 * Replaces, inserts or deletes some bytes, or truncates the file. @param common bytes from which most new bytes are
 * chosen
 */
export function withDamage(bytes: Buffer, random: Random, common: readonly number[]): Buffer {
  let damaged = Buffer.from(bytes);
  const changes = random.pick([1, 1, 2, 5]);
  for (let change = 0; change < changes && damaged.length > 0; change += 1) {
    const at = random.below(damaged.length);
    const byte = Buffer.of(random.chance(0.7) ? random.pick(common) : random.below(256));
    const kind = random.next();
    if (kind < 0.4) damaged[at] = byte[0]!;
    else if (kind < 0.7) damaged = Buffer.concat([damaged.subarray(0, at), byte, damaged.subarray(at)]);
    else if (kind < 0.9) damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(at + 1)]);
    else damaged = damaged.subarray(0, at);
  }
  return damaged;
}
