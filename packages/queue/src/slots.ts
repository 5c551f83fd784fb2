import { onAbort } from '@sentvec/platform';

/** How many steps may be executed at once. They begin in the order in which they asked, whatever queue they are from. */
export class Slots {
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs the work when a slot is free. Rejects with the reason of the signal when it fires before. */
  async use<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      if (next) next();
      else this.#free += 1;
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (settle: () => void) => () => {
        this.#waiting.delete(begin);
        stopListening();
        settle();
      };
      const begin = leave(resolve);
      const stopListening = onAbort(
        signal,
        leave(() => reject(signal.reason as Error)),
      );
      this.#waiting.add(begin);
    });
  }
}
