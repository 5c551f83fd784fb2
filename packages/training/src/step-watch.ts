// Detects divergence from the loss and the gradient norm of each step.

/** Losses and gradient norms are smoothed over about this many steps. */
export const horizon = 25;
/** Later steps are compared with this many first steps. */
const baselineSteps = 5;
/** The gradients explode if their norm is this many times the norm of the first steps. */
const explosionFactorFactor = 10;

/**
 * Kinds of divergence with finite numbers. `runaway` and `collapse`: see {@link StepWatch}. `exploded`: a runaway loss
 * together with a gradient norm of more than 10 times that of the first steps; such a run does not recover.
 */
export type Divergence = 'runaway' | 'collapse' | 'exploded';

/**
 * Detects divergence. `runaway`: the smoothed loss is more than three times its minimum, and well above its initial
 * value. `collapse`: the gradients have almost vanished, but the loss is no better than at the beginning, because all
 * texts get the same vector. Each training set is watched separately, because losses have different scales.
 */
export class StepWatch {
  readonly #watched = new Map<number, Watched>();
  #runsAway = false;

  /** Whether the last step was a `runaway` step. */
  get runsAway(): boolean {
    return this.#runsAway;
  }

  /** Whether the smoothed loss of every set is close to its minimum, and no gradients explode. */
  get isAtItsBest(): boolean {
    return [...this.#watched.values()].every(
      ({ steps, loss, best, firstLoss, norm, firstNorm }) =>
        steps < baselineSteps ||
        (loss <= Math.min(1.1 * best, 1.5 * firstLoss) && norm <= explosionFactorFactor * firstNorm),
    );
  }

  /** Adds a step. @returns the divergence of this set, or `undefined` if there is none */
  observe(set: number, loss: number, gradientNorm: number): Divergence | undefined {
    const divergence = this.#judge(set, loss, gradientNorm);
    this.#runsAway = divergence === 'runaway' || divergence === 'exploded';
    return divergence;
  }

  #judge(set: number, loss: number, gradientNorm: number): Divergence | undefined {
    const seen = this.#watched.get(set) ?? { steps: 0, firstLoss: 0, firstNorm: 0, loss: 0, norm: 0, best: Infinity };
    this.#watched.set(set, seen);
    seen.steps++;
    if (seen.steps <= baselineSteps) {
      seen.firstLoss += loss / baselineSteps;
      seen.firstNorm = Math.max(seen.firstNorm, gradientNorm);
    }
    const share = 1 / Math.min(seen.steps, horizon);
    seen.loss += share * (loss - seen.loss);
    // A decaying maximum, so that a single small gradient does not count as a collapse.
    seen.norm = Math.max(gradientNorm, seen.norm * 0.5);
    if (seen.steps < horizon) return undefined;
    seen.best = Math.min(seen.best, seen.loss);
    if (seen.loss > 3 * seen.best && seen.loss > 1.5 * seen.firstLoss)
      return seen.norm > explosionFactorFactor * seen.firstNorm ? 'exploded' : 'runaway';
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
