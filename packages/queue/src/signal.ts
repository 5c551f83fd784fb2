/** Lets a loop sleep until it is notified or a timeout has passed. */
export class Signal {
  #notified = false;
  #wake: (() => void) | undefined;

  /** Ends the current wait. If there is none, the next wait ends at once. */
  readonly notify = (): void => {
    this.#notified = true;
    this.#wake?.();
  };

  async wait(maxMilliseconds: number): Promise<void> {
    if (!this.#notified) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, maxMilliseconds);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#notified = false;
  }
}
