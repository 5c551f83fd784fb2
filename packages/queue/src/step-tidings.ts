import type { Logger, RunEventPayload } from '@sentvec/workflow';
import type { RunStore } from './run-store.ts';

/** Milliseconds between two progress events of one step. */
const progressInterval = 1000;

/** Carries what a step has to tell to Redis. A step does not wait for it, but it does not end before it has arrived. */
export class StepTidings {
  readonly #store: RunStore;
  readonly #run: string;
  readonly #round: number;
  readonly #logger: Logger;
  readonly #underway = new Set<Promise<void>>();
  #lastProgress = -Infinity;

  constructor(store: RunStore, { run, round, logger }: { run: string; round: number; logger: Logger }) {
    this.#store = store;
    this.#run = run;
    this.#round = round;
    this.#logger = logger;
  }

  readonly emit = (payload: RunEventPayload): void => {
    if (payload.type === 'progress') {
      const now = performance.now();
      if (now - this.#lastProgress < progressInterval) return;
      this.#lastProgress = now;
    }
    if (payload.type === 'dead-letter') this.#send(this.#store.addDeadLetter(this.#run, this.#round, payload.letter));
    this.#send(this.#store.addEvent(this.#run, payload));
  };

  async arrived(): Promise<void> {
    await Promise.all(this.#underway);
  }

  #send(sending: Promise<void>): void {
    const sent: Promise<void> = sending
      .catch((error: unknown) => this.#logger.warn({ run: this.#run, error }, 'tidings of a step were lost'))
      .finally(() => this.#underway.delete(sent));
    this.#underway.add(sent);
  }
}
