import { SentvecError } from '@sentvec/core';
import type { RunState } from '@sentvec/workflow';
import type { RunPosition, RunStore } from './run-store.ts';
import { Wakeup } from './wakeup.ts';

/** Milliseconds between two looks at the states of runs that this worker works on. */
const lookInterval = 500;

/**
 * Tells whoever works on a run in this process when it is paused, resumed or over. One look serves all work on a run.
 */
export class RunMonitor {
  readonly #store: RunStore;
  readonly #watched = new Map<string, Set<WatchedRun>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: RunStore) {
    this.#store = store;
  }

  /** Begins to watch a round of a run. Undefined when there is no such run. */
  async watch(id: string, round: number): Promise<WatchedRun | undefined> {
    const found = await this.#store.readState(id);
    if (!found) return undefined;
    const watched = new WatchedRun(id, round, found, () => this.#release(watched));
    const others = this.#watched.get(id) ?? new Set();
    this.#watched.set(id, others.add(watched));
    this.#timer ??= setInterval(() => void this.look(), lookInterval).unref();
    return watched;
  }

  /** Looks at all watched runs now. */
  async look(): Promise<void> {
    const ids = [...this.#watched.keys()];
    // Redis may be away for a while: then nothing is known, and nothing changes.
    const states = await Promise.all(ids.map((id) => this.#store.readState(id).catch(() => undefined)));
    ids.forEach((id, index) => {
      const found = states[index];
      if (found) for (const watched of this.#watched.get(id) ?? []) watched.update(found);
    });
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #release(watched: WatchedRun): void {
    const others = this.#watched.get(watched.id);
    others?.delete(watched);
    if (others?.size === 0) this.#watched.delete(watched.id);
  }
}

/** A round of a run that something in this process works on. */
export class WatchedRun {
  readonly id: string;
  readonly round: number;
  /** Id of the workflow. */
  readonly workflow: string;
  /** No longer watches. */
  readonly release: () => void;
  readonly #controller = new AbortController();
  readonly #changes = new Wakeup();
  #state: RunState = 'running';

  constructor(id: string, round: number, found: RunPosition, release: () => void) {
    this.id = id;
    this.round = round;
    this.workflow = found.workflow;
    this.release = release;
    this.update(found);
  }

  /** Fires, with a SentvecError `aborted`, when the round is over: cancelled, failed elsewhere, replayed. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get paused(): boolean {
    return this.#state === 'paused';
  }

  /** Resolves when the run is not paused. Rejects with the signal's reason when it is over. */
  async untilResumed(): Promise<void> {
    while (this.paused && !this.signal.aborted) await this.#changes.wait(lookInterval);
    this.signal.throwIfAborted();
  }

  update({ state, round }: RunPosition): void {
    this.#state = state;
    const over = round !== this.round || state === 'cancelled' || state === 'failed' || state === 'completed';
    if (over && !this.signal.aborted) {
      const what = round !== this.round ? 'was replayed' : state === 'cancelled' ? 'was cancelled' : `has ${state}`;
      this.#controller.abort(new SentvecError('aborted', `Run ${this.id} ${what}.`, { run: this.id }));
    }
    this.#changes.ring();
  }
}
