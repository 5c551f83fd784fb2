/**
 * Begins to read a source before its values are wanted: so many values are asked for at once, the others when they are
 * wanted. What the source throws is thrown in its turn.
 */
export class ReadAhead<T> implements AsyncIterable<T> {
  readonly #source: AsyncGenerator<T, void>;
  readonly #asked: Promise<IteratorResult<T, void>>[];

  constructor(source: AsyncGenerator<T, void>, values: number) {
    this.#source = source;
    this.#asked = Array.from({ length: values }, () => source.next());
    for (const asked of this.#asked) asked.catch(() => {}); // Awaited later, or never.
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const next = await (this.#asked.shift() ?? this.#source.next());
      if (next.done === true) return;
      yield next.value;
    }
  }

  /** Ends the source. */
  async close(): Promise<void> {
    await this.#source.return().catch(() => {}); // What it threw was thrown to its reader, or is not wanted.
  }
}
