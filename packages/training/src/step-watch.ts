// Watches the loss and the gradient norm of each step for signs that the training diverges.

/** Steps over which losses and gradients are smoothed. */
export const horizon = 25;
/** Steps at the beginning that later ones are compared with. */
const opening = 5;
/** How much larger than at the beginning the gradient of an exploding run is. */
const explosion = 10;

/**
 * What can go wrong while every number is still finite. `exploded`: the loss runs away and the gradient is many times
 * larger than at the beginning: the run will not recover.
 */
export type Divergence = 'runaway' | 'collapse' | 'exploded';

/**
 * Notices training that goes wrong. `runaway`: the loss, smoothed, is more than three times what it was at its best,
 * and well above where it began. `collapse`: the gradients have all but vanished while the loss is no better than at
 * the beginning, because every text now gets the same vector. Sets with different losses are watched apart.
 */
export class StepWatch {
  readonly #watched = new Map<number, Watched>();
  #runsAway = false;

  /** Whether the loss ran away at the last step. */
  get runsAway(): boolean {
    return this.#runsAway;
  }

  /** Whether the smoothed loss of every set is about as low as it ever was, and no gradient explodes. */
  get isAtItsBest(): boolean {
    return [...this.#watched.values()].every(
      ({ steps, loss, best, firstLoss, norm, firstNorm }) =>
        steps < opening || (loss <= Math.min(1.1 * best, 1.5 * firstLoss) && norm <= explosion * firstNorm),
    );
  }

  /** @returns what is wrong with training on this set; `undefined` while nothing is */
  observe(set: number, loss: number, gradientNorm: number): Divergence | undefined {
    const divergence = this.#judge(set, loss, gradientNorm);
    this.#runsAway = divergence === 'runaway' || divergence === 'exploded';
    return divergence;
  }

  #judge(set: number, loss: number, gradientNorm: number): Divergence | undefined {
    const seen = this.#watched.get(set) ?? { steps: 0, firstLoss: 0, firstNorm: 0, loss: 0, norm: 0, best: Infinity };
    this.#watched.set(set, seen);
    seen.steps++;
    if (seen.steps <= opening) {
      seen.firstLoss += loss / opening;
      seen.firstNorm = Math.max(seen.firstNorm, gradientNorm);
    }
    const share = 1 / Math.min(seen.steps, horizon);
    seen.loss += share * (loss - seen.loss);
    // The largest of the last steps, fading: a single small gradient is no sign.
    seen.norm = Math.max(gradientNorm, seen.norm * 0.5);
    if (seen.steps < horizon) return undefined;
    seen.best = Math.min(seen.best, seen.loss);
    if (seen.loss > 3 * seen.best && seen.loss > 1.5 * seen.firstLoss)
      return seen.norm > explosion * seen.firstNorm ? 'exploded' : 'runaway';
    return seen.norm < 1e-4 * seen.firstNorm && seen.loss > 0.9 * seen.firstLoss ? 'collapse' : undefined;
  }
}

interface Watched {
  steps: number;
  firstLoss: number;
  firstNorm: number;
  loss: number;
  norm: number;
  best: number;
}
