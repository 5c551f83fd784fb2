// Chooses the session for a lone batch: one with one thread, or the one with several, by the times that both took.

/** A session of one thread, or the one whose threads are all the cores'. */
export type SessionWidth = 'narrow' | 'wide';

/** Lone batches after which the wide session is opened: a caller that sends so many sends more. */
const batchesBeforeWide = 8;

/** Milliseconds below which a batch is not worth several threads: waking them takes a tenth of that. */
const leastMilliseconds = 1;

/** Lone batches by which the session that is not in use is judged. */
const batchesOfTrial = 6;

/** Those of the first one: the code of a new thread is compiled while it runs. */
const batchesOfFirstTrial = 24;

/** First batches of a trial that do not count: the memory of that session is new, or no longer in the caches. */
const coldBatches = 2;

/** After so many lone batches there is a trial in any case. They are fewer than one of a hundred: see the p99. */
const batchesBetweenTrials = 1024;

/** After so many there is one when the session in use takes longer than it did, or less: the machine has changed. */
const batchesBeforeChange = 64;

/** How many times as long, or as short, counts as a change. */
const change = 1.5;

/** The wide session must take less than this share of the time of the narrow one: it uses more of the machine. */
const advantage = 0.9;

/** What a batch costs besides its positions, in positions; see docs/adr/0016-batches.md. */
const positionsOfCall = 32;

/**
 * Learns what lone batches take on one thread and on several. Several are faster on a quiet machine, and far slower
 * on one that has other work, so no constant could tell.
 */
export class LoneBatches {
  readonly #costs: Readonly<Record<SessionWidth, RecentCosts>> = { narrow: new RecentCosts(), wide: new RecentCosts() };
  #inUse: SessionWidth = 'narrow';
  /** Batches of the trial that are still to come. */
  #trial = batchesOfFirstTrial;
  #sinceTrial = 0;
  /** What the session in use took after the last trial. */
  #usual = 0;

  /** Whether enough lone batches have come, and take long enough, to open a session of several threads for them. */
  get deserveWide(): boolean {
    const { count, milliseconds } = this.#costs.narrow;
    return count >= batchesBeforeWide && milliseconds >= leastMilliseconds;
  }

  /** The session for the next lone batch, when both are open. */
  choose(): SessionWidth {
    return this.#trial > 0 ? otherThan(this.#inUse) : this.#inUse;
  }

  /** A lone batch came back. */
  add(width: SessionWidth, positions: number, milliseconds: number): void {
    this.#costs[width].add(positions + positionsOfCall, milliseconds);
    if (width === this.#inUse) this.#watch();
    else this.#endTrial();
  }

  /** Begins a trial when it is time for one. */
  #watch(): void {
    this.#sinceTrial += 1;
    if (this.#trial > 0 || this.#sinceTrial < batchesBeforeChange) return;
    const ratio = this.#costs[this.#inUse].perPosition / this.#usual;
    if (ratio < change && ratio > 1 / change && this.#sinceTrial < batchesBetweenTrials) return;
    this.#trial = batchesOfTrial;
    this.#costs[otherThan(this.#inUse)].clear();
  }

  #endTrial(): void {
    this.#trial -= 1;
    if (this.#trial > 0) return;
    const { narrow, wide } = this.#costs;
    this.#inUse = wide.perPosition < advantage * narrow.perPosition ? 'wide' : 'narrow';
    this.#usual = this.#costs[this.#inUse].perPosition;
    this.#sinceTrial = 0;
  }
}

function otherThan(width: SessionWidth): SessionWidth {
  return width === 'narrow' ? 'wide' : 'narrow';
}

/** Medians of the last batches: a single one may have been held up by another program. */
class RecentCosts {
  count = 0;
  readonly #milliseconds: number[] = [];
  readonly #perPosition: number[] = [];

  add(positions: number, milliseconds: number): void {
    this.count += 1;
    if (this.count <= coldBatches) return;
    this.#milliseconds.push(milliseconds);
    this.#perPosition.push(milliseconds / positions);
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

  clear(): void {
    this.count = 0;
    this.#milliseconds.length = 0;
    this.#perPosition.length = 0;
  }
}

/** The middle of some numbers; 0 of none. */
function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
