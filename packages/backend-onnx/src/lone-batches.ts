// Which session computes a batch that is alone: one of one thread, or the one of several. Decided by what both took.

/** A session of one thread, or the one whose threads are all the cores'. */
export type SessionWidth = 'narrow' | 'wide';

/** Lone batches after which the wide session is opened: who sends so many sends more. */
const batchesBeforeWide = 8;

/** Milliseconds below which a batch is not worth several threads: waking them takes a tenth of that. */
const leastMilliseconds = 1;

/** Lone batches by which the wide session is judged first. */
const batchesToLearn = 12;

/** First batches of a session that do not count: its memory and its threads are new. */
const coldBatches = 2;

/** Each so many lone batches, the session that seems slower is tried again. Rarer than one of a hundred: see the p99. */
const batchesBetweenTries = 256;

/** What the wide session must take less than, in times of the narrow one: its times vary more. */
const advantage = 0.9;

/** What a batch costs besides its positions, in positions; see docs/adr/0016-batches.md. */
const positionsOfCall = 32;

/**
 * Learns what lone batches take on one thread and on several. Several are faster on a quiet machine, and far slower
 * on one that has other work, so no constant could tell.
 */
export class LoneBatches {
  readonly #costs: Readonly<Record<SessionWidth, MeanCost>> = { narrow: new MeanCost(), wide: new MeanCost() };
  #chosen = 0;

  /** Whether enough lone batches have come, and take long enough, to open a session of several threads for them. */
  get deserveWide(): boolean {
    const { count, milliseconds } = this.#costs.narrow;
    return count >= batchesBeforeWide && milliseconds >= leastMilliseconds;
  }

  /** The session for the next lone batch, when both are open. */
  choose(): SessionWidth {
    const { narrow, wide } = this.#costs;
    if (wide.count < batchesToLearn) return 'wide';
    this.#chosen += 1;
    const isWideFaster = wide.perPosition < advantage * narrow.perPosition;
    return isWideFaster !== (this.#chosen % batchesBetweenTries === 0) ? 'wide' : 'narrow';
  }

  /** A lone batch came back. */
  add(width: SessionWidth, positions: number, milliseconds: number): void {
    this.#costs[width].add(positions + positionsOfCall, milliseconds);
  }
}

/** Means in which the last eight batches weigh most. */
class MeanCost {
  count = 0;
  milliseconds = 0;
  perPosition = 0;

  add(positions: number, milliseconds: number): void {
    this.count += 1;
    const counted = this.count - coldBatches;
    if (counted < 1) return;
    const weight = 1 / Math.min(counted, 8);
    this.milliseconds += weight * (milliseconds - this.milliseconds);
    this.perPosition += weight * (milliseconds / positions - this.perPosition);
  }
}
