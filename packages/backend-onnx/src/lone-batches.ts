// Chooses the faster session for a lone batch, that is a batch that arrives while no other batch is computed: a session
// of the pool, or a session with more threads that only computes lone batches.

/**
 * `narrow`: a session of the pool, which has one thread by default. `wide`: the session for lone batches, which has a
 * thread for each core.
 */
export type SessionWidth = 'narrow' | 'wide';

/** The number of lone batches after which a wide session is opened, because more are likely to follow. */
const batchesBeforeWide = 8;

/**
 * The number of warm-up batches of a new wide session, during which the code of its thread is compiled. Their times do
 * not count.
 */
const batchesOfWarmUp = 24;

/**
 * The number of batches of each session at the start of a trial whose times do not count, because the caches are cold.
 */
const coldBatches = 2;

/** The number of batches of each session in a trial whose times count. */
const countedBatches = 3;

/**
 * The minimum and maximum number of batches between two trials. With this maximum, trials of the slower session affect
 * less than 1 % of batches.
 */
const minBatchesBetweenTrials = 64;
const maxBatchesBetweenTrials = 1024;

/** The factor by which the number of batches until the next trial grows when two trials have the same result. */
const intervalGrowth = 4;

/**
 * The number of batches after a trial until the caches are warm, so that the usual time per position can be measured.
 */
const batchesBeforeUsual = 32;

/** A new trial starts when batches take more than this many times as long as usual, or less than the inverse. */
const changeRatio = 1.5;

/**
 * The wide session is chosen if its time is below this share of the time of the narrow one, because it uses more cores.
 */
const maxTimeRatio = 0.9;

/** The fixed cost of a batch, expressed in positions; see docs/adr/0016-batches.md. */
const fixedCostInPositions = 32;

/**
 * Measures the time of lone batches in a session of the pool and in a wide session. Several threads are faster on an
 * idle machine, but much slower on a busy one, so the choice cannot be a constant. A trial alternates between the two
 * sessions, so that other load affects both. As long as trials have the same result, the number of batches until the
 * next trial is multiplied by four.
 */
export class LoneBatches {
  readonly #costs: Readonly<Record<SessionWidth, RecentCosts>> = { narrow: new RecentCosts(), wide: new RecentCosts() };
  readonly #minMilliseconds: number;
  #inUse: SessionWidth = 'narrow';
  /** The remaining batches of the warm-up, and of the trial. */
  #warmUp = batchesOfWarmUp;
  #trial = 0;
  #sinceTrial = 0;
  /** The second trial follows soon after the first, in which the caches of the new session may be cold. */
  #betweenTrials = minBatchesBetweenTrials / intervalGrowth;
  /**
   * The usual time per position of the session in use, measured some batches after the last trial, because alternating
   * batches are slower.
   */
  #usual = 0;

  /** @param minMilliseconds the minimum time of a batch in the narrow session for which a wide one is opened */
  constructor(minMilliseconds: number) {
    this.#minMilliseconds = minMilliseconds;
  }

  /** Whether there were enough lone batches, and they take long enough, to open a wide session. */
  get shouldOpenWide(): boolean {
    const { count, milliseconds } = this.#costs.narrow;
    return count >= batchesBeforeWide && milliseconds >= this.#minMilliseconds;
  }

  /** The session for the next lone batch if both are open. */
  choose(): SessionWidth {
    if (this.#warmUp > 0) return 'wide';
    return this.#trial % 2 === 1 ? otherThan(this.#inUse) : this.#inUse;
  }

  /** Records the time of a lone batch. */
  add(width: SessionWidth, positions: number, milliseconds: number): void {
    this.#costs[width].add(positions, milliseconds);
    if (this.#warmUp > 0) {
      if (width === 'wide') this.#warmUp -= 1;
      if (this.#warmUp === 0) this.#beginTrial();
    } else if (this.#trial > 0) {
      // If the chosen session was busy with an aborted batch, the other one was used, and the batch does not count.
      if (width === this.choose()) this.#trial -= 1;
      if (this.#trial === 0) this.#endTrial();
    } else this.#watch();
  }

  /** Starts a trial if one is due. */
  #watch(): void {
    this.#sinceTrial += 1;
    if (this.#sinceTrial === batchesBeforeUsual) this.#usual = this.#costs[this.#inUse].perPosition;
    if (this.#sinceTrial < minBatchesBetweenTrials) return;
    const ratio = this.#costs[this.#inUse].perPosition / this.#usual;
    const isAsUsual = ratio < changeRatio && ratio > 1 / changeRatio;
    if (!isAsUsual || this.#sinceTrial >= this.#betweenTrials) this.#beginTrial();
  }

  #beginTrial(): void {
    this.#trial = 2 * (coldBatches + countedBatches);
    this.#costs.narrow.clear();
    this.#costs.wide.clear();
  }

  #endTrial(): void {
    const { narrow, wide } = this.#costs;
    const faster = wide.perPosition < maxTimeRatio * narrow.perPosition ? 'wide' : 'narrow';
    this.#betweenTrials =
      faster === this.#inUse
        ? Math.min(intervalGrowth * this.#betweenTrials, maxBatchesBetweenTrials)
        : minBatchesBetweenTrials;
    this.#inUse = faster;
    this.#sinceTrial = 0;
  }
}

function otherThan(width: SessionWidth): SessionWidth {
  return width === 'narrow' ? 'wide' : 'narrow';
}

/** Medians of the times of the last nine batches, because single times vary with the load of the machine. */
export class RecentCosts {
  count = 0;
  readonly #milliseconds: number[] = [];
  readonly #perPosition: number[] = [];

  add(positions: number, milliseconds: number): void {
    this.count += 1;
    if (this.count <= coldBatches) return;
    this.#milliseconds.push(milliseconds);
    this.#perPosition.push(milliseconds / (positions + fixedCostInPositions));
    if (this.#milliseconds.length <= 9) return;
    this.#milliseconds.shift();
    this.#perPosition.shift();
  }

  get milliseconds(): number {
    return median(this.#milliseconds);
  }

  get perPosition(): number {
    return median(this.#perPosition);
  }

  /** The expected time of a batch in milliseconds; 0 without measurements. */
  expected(positions: number): number {
    return this.perPosition * (positions + fixedCostInPositions);
  }

  clear(): void {
    this.count = 0;
    this.#milliseconds.length = 0;
    this.#perPosition.length = 0;
  }
}

/** The median of the numbers; 0 if there are none. */
function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
