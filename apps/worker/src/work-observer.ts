import type { StepReport, WorkerObserver } from '@sentvec/queue';
import type { Metrics } from './metrics.ts';

/** Counts what the worker does, and knows which steps are active. */
export class WorkObserver implements WorkerObserver {
  readonly #metrics: Metrics;
  readonly #active = new Set<string>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** Keys of the active steps. */
  get active(): readonly string[] {
    return [...this.#active];
  }

  readonly stepBegan = ({ key }: { readonly key: string }): void => {
    this.#active.add(key);
  };

  readonly stepEnded = (step: StepReport & { readonly key: string }): void => {
    this.#active.delete(step.key);
    this.#metrics.stepEnded(step);
  };

  readonly refused = (): void => this.#metrics.refused();

  readonly recovered = (): void => this.#metrics.recovered();
}
