/** A min-heap of (score, key) pairs, ordered by score, then by key. */
export class ScoreHeap {
  readonly scores: number[] = [];
  readonly keys: number[] = [];

  get size(): number {
    return this.scores.length;
  }

  push(score: number, key: number): void {
    const { scores, keys } = this;
    let at = scores.length;
    scores.push(score);
    keys.push(key);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isLess(score, key, parent)) break;
      scores[at] = scores[parent]!;
      keys[at] = keys[parent]!;
      at = parent;
    }
    scores[at] = score;
    keys[at] = key;
  }

  /** Replaces the root by another pair. */
  replaceRoot(score: number, key: number): void {
    const { scores, keys } = this;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= scores.length) break;
      const right = left + 1;
      const child = right < scores.length && this.#isLess(scores[right]!, keys[right]!, left) ? right : left;
      if (this.#isLess(score, key, child)) break;
      scores[at] = scores[child]!;
      keys[at] = keys[child]!;
      at = child;
    }
    scores[at] = score;
    keys[at] = key;
  }

  /** Removes and returns the root. The heap must not be empty. */
  pop(): { readonly score: number; readonly key: number } {
    const least = { score: this.scores[0]!, key: this.keys[0]! };
    const [score, key] = [this.scores.pop()!, this.keys.pop()!];
    if (this.size > 0) this.replaceRoot(score, key);
    return least;
  }

  #isLess(score: number, key: number, other: number): boolean {
    const otherScore = this.scores[other]!;
    return score < otherScore || (score === otherScore && key < this.keys[other]!);
  }
}
