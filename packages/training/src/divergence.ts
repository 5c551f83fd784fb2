/** Steps over which the loss is smoothed. */
const horizon = 25;

/**
 * Notices a loss that runs away: smoothed over the last steps it is more than three times what it was at its best, and above where it began.
 * Sets with different losses are watched apart.
 */
export class DivergenceWatch {
  readonly #losses = new Map<number, { steps: number; first: number; smoothed: number; best: number }>();

  /** Whether training on this set has diverged. */
  observe(set: number, loss: number): boolean {
    const seen = this.#losses.get(set);
    if (seen === undefined) {
      this.#losses.set(set, { steps: 1, first: loss, smoothed: loss, best: Infinity });
      return false;
    }
    seen.steps++;
    const share = 1 / Math.min(seen.steps, horizon);
    seen.smoothed += share * (loss - seen.smoothed);
    if (seen.steps < horizon) return false;
    if (seen.steps === horizon) seen.first = seen.smoothed;
    seen.best = Math.min(seen.best, seen.smoothed);
    return seen.smoothed > 3 * seen.best && seen.smoothed > 1.5 * seen.first;
  }
}
