import { setTimeout as sleep } from 'node:timers/promises';

/** Reads items in groups. If the source is slow, it returns a smaller group, so that workers do not wait. */
export class ItemReader {
  readonly #items: AsyncGenerator<unknown, void>;
  #pending: Promise<IteratorResult<unknown, void>> | undefined;

  constructor(items: AsyncGenerator<unknown, void>) {
    this.#items = items;
  }

  /** Reads the next `count` items, or fewer at the end. */
  async take(count: number): Promise<unknown[]> {
    const group: unknown[] = [];
    while (group.length < count) {
      const next = await this.#next();
      if (next.done === true) break;
      group.push(next.value);
    }
    return group;
  }

  /** Reads at most `count` items: those that arrive within `milliseconds` after the first. Empty only at the end. */
  async takeWithin(count: number, milliseconds: number): Promise<unknown[]> {
    const group = await this.take(1);
    if (group.length === 0) return group;
    const timer = new AbortController();
    const timeout = sleep(milliseconds, 'timeout' as const, { signal: timer.signal }).catch(() => 'timeout' as const);
    try {
      while (group.length < count) {
        this.#pending ??= this.#items.next();
        const next = await Promise.race([this.#pending, timeout]);
        if (next === 'timeout') break;
        this.#pending = undefined;
        if (next.done === true) break;
        group.push(next.value);
      }
    } finally {
      timer.abort();
    }
    return group;
  }

  /** Closes the source. */
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
