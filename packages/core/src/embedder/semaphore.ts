import { abortable, throwIfAborted } from '@sentvec/platform';

/** Lets a fixed number of tasks run at once; the others wait in line. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Waits for a permit.
   * @returns gives the permit back; to be called once
   * @throws SentvecError `aborted`, when the signal fires first
   */
  async acquire(signal: AbortSignal): Promise<() => void> {
    throwIfAborted(signal);
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    return () => this.#release();
  }

  async #wait(signal: AbortSignal): Promise<void> {
    let enter = (): void => {};
    const turn = new Promise<void>((resolve) => {
      enter = resolve;
    });
    this.#waiting.push(enter);
    try {
      await abortable(turn, signal);
    } catch (error) {
      const position = this.#waiting.indexOf(enter);
      // Already let in: the permit goes to the next in line.
      if (position === -1) this.#release();
      else this.#waiting.splice(position, 1);
      throw error;
    }
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}
