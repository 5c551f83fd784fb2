import { withDeadline } from '@sentvec/platform';
import type { WorkerModel } from './model-registry.ts';

/** The result of a health check. */
export interface Health {
  readonly healthy: boolean;
  /** A readable description of the problem. Absent if the worker can embed. */
  readonly reason?: string | undefined;
  readonly model: string;
  readonly milliseconds: number;
}

const probeText = 'How are you?';

/** Maximum time for the embedding, in milliseconds. */
const timeout = 15_000;

/** Checks whether a model works, by embedding a text with it. Concurrent checks share one embedding. */
export class HealthCheck {
  readonly #model: string;
  readonly #embedder: (model: string) => Promise<WorkerModel>;
  #running: Promise<Health> | undefined;

  constructor(model: string, embedder: (model: string) => Promise<WorkerModel>) {
    this.#model = model;
    this.#embedder = embedder;
  }

  async check(): Promise<Health> {
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #run(): Promise<Health> {
    const startedAt = performance.now();
    const error = () => new Error(`no vector within ${timeout / 1000} s`);
    const reason = await withDeadline((signal) => this.#embed(signal), { milliseconds: timeout, error }).catch(
      messageOf,
    );
    const facts = { model: this.#model, milliseconds: Math.round(performance.now() - startedAt) };
    return reason === undefined ? { healthy: true, ...facts } : { healthy: false, reason, ...facts };
  }

  /** Embeds the test sentence. Returns a description of the problem, or `undefined` if there is none. */
  async #embed(signal: AbortSignal): Promise<string | undefined> {
    const embedder = await this.#embedder(this.#model);
    const entries =
      embedder.kind === 'sparse'
        ? (await embedder.embedDocuments(probeText, { signal })).vector.values
        : (await embedder.embed([probeText], { signal })).vectors.data;
    const isSound = entries.length > 0 && entries.every(Number.isFinite) && entries.some((entry) => entry !== 0);
    return isSound ? undefined : 'the vector is empty, zero or not finite';
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
