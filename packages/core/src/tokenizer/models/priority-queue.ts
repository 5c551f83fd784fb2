/** A priority queue of numbers, smallest first (binary heap). */
export class PriorityQueue {
  readonly #keys: number[] = [];

  get size(): number {
    return this.#keys.length;
  }

  push(key: number): void {
    const keys = this.#keys;
    let index = keys.push(key) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[index] = keys[parent]!;
      index = parent;
    }
    keys[index] = key;
  }

  /** Removes and returns the smallest number. The queue must not be empty. */
  pop(): number {
    const keys = this.#keys;
    const least = keys[0]!;
    const key = keys.pop()!;
    const { length } = keys;
    if (length === 0) return least;
    let index = 0;
    for (let child = 1; child < length; child = 2 * index + 1) {
      if (child + 1 < length && keys[child + 1]! < keys[child]!) child += 1;
      if (key <= keys[child]!) break;
      keys[index] = keys[child]!;
      index = child;
    }
    keys[index] = key;
    return least;
  }
}
