// Chooses the session for a lone batch, one that comes while no other is computed: a session of the pool, or one that
// only lone batches have, by the times of both.

/** A session of the pool, which has one thread, or one of lone batches, which has a thread for each core. */
export type SessionWidth = 'narrow' | 'wide';

/** Lone batches after which a wide session is opened: a caller that sends so many sends more. */
const batchesBeforeWide = 8;

/** First batches of a wide session, before it is compared: the code of a new thread is compiled while they run. */
const batchesOfWarmUp = 24;

/** First batches of each session in a trial that do not count: its memory is new, or no longer in the caches. */
const coldBatches = 2;

/** Batches of each session in a trial that count. */
const countedBatches = 3;

/** The least and the most batches between two trials; the most keeps the slower session out of the 99th percentile. */
const minBatchesBetweenTrials = 64;
const maxBatchesBetweenTrials = 1024;

/** How many times as many batches pass before the next trial when two ended alike. */
const growth = 4;

/** Batches after a trial when the caches have what they have from then on. */
const batchesBeforeUsual = 32;

/** How many times as long, or as short, a batch takes when the machine has changed. */
const change = 1.5;

/** The wide session must take less than this share of the time of the narrow one: it uses more of the machine. */
const advantage = 0.9;

/** What a batch costs besides its positions, in positions; see docs/adr/0016-batches.md. */
const positionsOfCall = 32;

/**
 * Learns what lone batches take in a session of the pool and in a wide one. Several threads are faster on a quiet
 * machine, and far slower on one that has other work, so no constant could tell. A trial sends batches to both in turns:
 * what else the machine does meets both alike. While trials end alike, four times as many batches pass before the next.
 */
export class LoneBatches {
  readonly #costs: Readonly<Record<SessionWidth, RecentCosts>> = { narrow: new RecentCosts(), wide: new RecentCosts() };
  readonly #minMilliseconds: number;
  #inUse: SessionWidth = 'narrow';
  /** Batches of the warm-up, and of the trial, that are still to come. */
  #warmUp = batchesOfWarmUp;
  #trial = 0;
  #sinceTrial = 0;
  /** The first trial, which may be of a new session with cold caches, is soon followed by another. */
  #betweenTrials = minBatchesBetweenTrials / growth;
  /** What the session in use took some batches after the last trial, in which all were slower: they came in turns. */
  #usual = 0;

  /** @param minMilliseconds what a batch must take on the narrow session to be worth a wide one */
  constructor(minMilliseconds: number) {
    this.#minMilliseconds = minMilliseconds;
  }

  /** Whether enough lone batches have come, and take long enough, to open a wide session for them. */
  get deserveWide(): boolean {
    const { count, milliseconds } = this.#costs.narrow;
    return count >= batchesBeforeWide && milliseconds >= this.#minMilliseconds;
  }

  /** The session for the next lone batch, when both are open. */
  choose(): SessionWidth {
    if (this.#warmUp > 0) return 'wide';
    return this.#trial % 2 === 1 ? otherThan(this.#inUse) : this.#inUse;
  }

  /** A lone batch came back. */
  add(width: SessionWidth, positions: number, milliseconds: number): void {
    this.#costs[width].add(positions, milliseconds);
    if (this.#warmUp > 0) {
      if (width === 'wide') this.#warmUp -= 1;
      if (this.#warmUp === 0) this.#beginTrial();
    } else if (this.#trial > 0) {
      // The chosen session may have been busy with a batch that was aborted.
      if (width === this.choose()) this.#trial -= 1;
      if (this.#trial === 0) this.#endTrial();
    } else this.#watch();
  }

  /** Begins a trial when it is time for one. */
  #watch(): void {
    this.#sinceTrial += 1;
    if (this.#sinceTrial === batchesBeforeUsual) this.#usual = this.#costs[this.#inUse].perPosition;
    if (this.#sinceTrial < minBatchesBetweenTrials) return;
    const ratio = this.#costs[this.#inUse].perPosition / this.#usual;
    const isAsUsual = ratio < change && ratio > 1 / change;
    if (!isAsUsual || this.#sinceTrial >= this.#betweenTrials) this.#beginTrial();
  }

  #beginTrial(): void {
    this.#trial = 2 * (coldBatches + countedBatches);
    this.#costs.narrow.clear();
    this.#costs.wide.clear();
  }

  #endTrial(): void {
    const { narrow, wide } = this.#costs;
    const faster = wide.perPosition < advantage * narrow.perPosition ? 'wide' : 'narrow';
    this.#betweenTrials =
      faster === this.#inUse
        ? Math.min(growth * this.#betweenTrials, maxBatchesBetweenTrials)
        : minBatchesBetweenTrials;
    this.#inUse = faster;
    this.#sinceTrial = 0;
  }
}

function otherThan(width: SessionWidth): SessionWidth {
  return width === 'narrow' ? 'wide' : 'narrow';
}

/** Medians of the last batches: a single one may have been held up by another program. */
export class RecentCosts {
  count = 0;
  readonly #milliseconds: number[] = [];
  readonly #perPosition: number[] = [];

  add(positions: number, milliseconds: number): void {
    this.count += 1;
    if (this.count <= coldBatches) return;
    this.#milliseconds.push(milliseconds);
    this.#perPosition.push(milliseconds / (positions + positionsOfCall));
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

  /** What a batch is expected to take, milliseconds; 0 when nothing is known. */
  expected(positions: number): number {
    return this.perPosition * (positions + positionsOfCall);
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
