import { setTimeout as sleep } from 'node:timers/promises';
import type { Embedder } from '@sentvec/core';

/** How a worker is. */
export interface Health {
  readonly healthy: boolean;
  /** What is wrong, for people. */
  readonly reason?: string;
  readonly model: string;
  readonly milliseconds: number;
}

const text = 'How are you?';
const deadline = 15_000;

/** Finds out whether a model works, by embedding a text with it. Questions that come meanwhile get the same answer. */
export class HealthCheck {
  readonly #model: string;
  readonly #embedder: (model: string) => Promise<Embedder>;
  #running: Promise<Health> | undefined;

  constructor(model: string, embedder: (model: string) => Promise<Embedder>) {
    this.#model = model;
    this.#embedder = embedder;
  }

  async check(): Promise<Health> {
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #run(): Promise<Health> {
    const begun = performance.now();
    const timer = new AbortController();
    const late = sleep(deadline, `no vector within ${deadline / 1000} s`, { signal: timer.signal }).catch(
      () => undefined,
    );
    const reason = await Promise.race([this.#embed(), late]);
    timer.abort();
    const facts = { model: this.#model, milliseconds: Math.round(performance.now() - begun) };
    return reason === undefined ? { healthy: true, ...facts } : { healthy: false, reason, ...facts };
  }

  /** What is wrong, or nothing. */
  async #embed(): Promise<string | undefined> {
    try {
      const embedder = await this.#embedder(this.#model);
      const { vectors } = await embedder.embed([text]);
      const sound =
        vectors.data.length > 0 && vectors.data.every(Number.isFinite) && vectors.data.some((entry) => entry !== 0);
      return sound ? undefined : 'the vector is not one of numbers';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}
