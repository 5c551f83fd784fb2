import type { Logger, RunEventPayload } from '@sentvec/workflow';
import type { RunStore } from './run-store.ts';

/** Milliseconds between two progress events of one step. */
const progressInterval = 1000;

/**
 * Writes the events of one step to Redis. Writes do not block the step; it waits for them at its end, by {@link flush}.
 */
export class StepEventPublisher {
  readonly #store: RunStore;
  readonly #run: string;
  readonly #attempt: number;
  readonly #logger: Logger;
  readonly #pending = new Set<Promise<void>>();
  #lastProgress = -Infinity;

  constructor(store: RunStore, { run, attempt, logger }: { run: string; attempt: number; logger: Logger }) {
    this.#store = store;
    this.#run = run;
    this.#attempt = attempt;
    this.#logger = logger;
  }

  readonly emit = (payload: RunEventPayload): void => {
    if (payload.type === 'progress') {
      const now = performance.now();
      if (now - this.#lastProgress < progressInterval) return;
      this.#lastProgress = now;
    }
    if (payload.type === 'dead-letter')
      this.#track(this.#store.addDeadLetter(this.#run, this.#attempt, payload.letter));
    this.#track(this.#store.addEvent(this.#run, this.#attempt, payload));
  };

  /** Resolves when all writes have succeeded or failed. */
  async flush(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #track(write: Promise<void>): void {
    const tracked: Promise<void> = write
      .catch((error: unknown) => this.#logger.warn({ run: this.#run, error }, 'an event of a step was lost'))
      .finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }
}
