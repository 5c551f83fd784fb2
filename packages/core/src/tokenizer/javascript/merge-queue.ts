/** Places in a word: fewer than 2^31. */
const placeLimit = 2 ** 31;

/** Merges of neighbouring symbols that wait, lowest rank first, of equal ones the leftmost: a binary heap. */
export class MergeQueue {
  /** rank × 2^31 + place */
  readonly #keys: number[] = [];
  readonly #merged: number[] = [];

  get size(): number {
    return this.#keys.length;
  }

  /** @param merged id of the symbol that the two at `place` and behind it become */
  push(rank: number, place: number, merged: number): void {
    const key = rank * placeLimit + place;
    let index = this.#keys.push(key) - 1;
    this.#merged.push(merged);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#keys[parent]! <= key) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#keys[index] = key;
    this.#merged[index] = merged;
  }

  /** Takes the first merge; there must be one. */
  pop(): { readonly place: number; readonly merged: number } {
    const first = { place: this.#keys[0]! % placeLimit, merged: this.#merged[0]! };
    const key = this.#keys.pop()!;
    const merged = this.#merged.pop()!;
    if (this.#keys.length > 0) this.#sink(key, merged);
    return first;
  }

  #sink(key: number, merged: number): void {
    const { length } = this.#keys;
    let index = 0;
    for (let child = 1; child < length; child = 2 * index + 1) {
      if (child + 1 < length && this.#keys[child + 1]! < this.#keys[child]!) child += 1;
      if (key <= this.#keys[child]!) break;
      this.#move(child, index);
      index = child;
    }
    this.#keys[index] = key;
    this.#merged[index] = merged;
  }

  #move(from: number, to: number): void {
    this.#keys[to] = this.#keys[from]!;
    this.#merged[to] = this.#merged[from]!;
  }
}
