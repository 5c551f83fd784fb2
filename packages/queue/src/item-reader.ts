import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Reads items in groups. A group that is slow to fill is given early, so that a slow source does not idle the workers.
 */
export class ItemReader {
  readonly #items: AsyncGenerator<unknown, void>;
  #pending: Promise<IteratorResult<unknown, void>> | undefined;

  constructor(items: AsyncGenerator<unknown, void>) {
    this.#items = items;
  }

  /** Exactly so many, or fewer at the end. */
  async take(count: number): Promise<unknown[]> {
    const group: unknown[] = [];
    while (group.length < count) {
      const next = await this.#next();
      if (next.done === true) break;
      group.push(next.value);
    }
    return group;
  }

  /** At most so many: what has come within `patience` milliseconds after the first. None only at the end. */
  async takeSome(count: number, patience: number): Promise<unknown[]> {
    const group = await this.take(1);
    if (group.length === 0) return group;
    const timer = new AbortController();
    const late = sleep(patience, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
    try {
      while (group.length < count) {
        this.#pending ??= this.#items.next();
        const next = await Promise.race([this.#pending, late]);
        if (next === 'late') break;
        this.#pending = undefined;
        if (next.done === true) break;
        group.push(next.value);
      }
    } finally {
      timer.abort();
    }
    return group;
  }

  /** Lets the source go. */
  async close(): Promise<void> {
    this.#pending?.catch(() => {});
    await this.#items.return().catch(() => {});
  }

  async #next(): Promise<IteratorResult<unknown, void>> {
    const next = this.#pending ?? this.#items.next();
    this.#pending = undefined;
    return next;
  }
}
