// Polls the states of the runs that this process works on, twice per second.
import { SentvecError } from '@sentvec/core';
import { hasEnded, type RunState } from '@sentvec/workflow';
import { isCircuitOpen, type RunPosition } from './run-fields.ts';
import type { RunStore } from './run-store.ts';
import type { PinnedModel } from './served-models.ts';
import { Signal } from './signal.ts';

/** Milliseconds between two polls. */
const pollInterval = 500;

/** Notifies coordinators and steps in this process when their run is paused, is resumed or ends. */
export class RunWatcher {
  readonly #store: RunStore;
  readonly #watched = new Map<string, Set<RunAttempt>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: RunStore) {
    this.#store = store;
  }

  /** Begins to watch an attempt of a run. `undefined` if there is no such run. */
  async watch(id: string, attempt: number): Promise<RunAttempt | undefined> {
    const position = await this.#store.readPosition(id);
    if (!position) return undefined;
    const watched = new RunAttempt(id, attempt, position, () => this.#release(watched));
    const ofRun = this.#watched.get(id) ?? new Set();
    this.#watched.set(id, ofRun.add(watched));
    this.#timer ??= setInterval(() => void this.poll(), pollInterval).unref();
    return watched;
  }

  /** Reads the states of all watched runs now. */
  async poll(): Promise<void> {
    const ids = [...this.#watched.keys()];
    // While Redis is unreachable, the last known states are kept.
    const positions = await Promise.all(ids.map((id) => this.#store.readPosition(id).catch(() => undefined)));
    ids.forEach((id, index) => {
      const position = positions[index];
      if (position) for (const watched of this.#watched.get(id) ?? []) watched.update(position);
    });
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #release(watched: RunAttempt): void {
    const ofRun = this.#watched.get(watched.id);
    ofRun?.delete(watched);
    if (ofRun?.size === 0) this.#watched.delete(watched.id);
  }
}

/** A watched attempt of a run. */
export class RunAttempt {
  /** Id of the run. */
  readonly id: string;
  readonly attempt: number;
  /** Id of the workflow. */
  readonly workflow: string;
  /** {@link RunPosition.version} at the time when watching began. */
  readonly version: string | undefined;
  /** {@link RunPosition.model} at the time when watching began, or as the coordinator has chosen it since. */
  model: PinnedModel | undefined;
  /** Stops watching. */
  readonly release: () => void;
  /** Called when the state of the run changes. */
  onChange: () => void = () => {};
  readonly #controller = new AbortController();
  readonly #changes = new Signal();
  #state: RunState = 'running';
  #faults = 0;
  #probe: string | undefined;

  constructor(id: string, attempt: number, position: RunPosition, release: () => void) {
    this.id = id;
    this.attempt = attempt;
    this.workflow = position.workflow;
    this.version = position.version;
    this.model = position.model;
    this.release = release;
    this.update(position);
  }

  /**
   * Aborted with a SentvecError `aborted` when the attempt is over: cancelled, ended by another worker, or replayed.
   */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get paused(): boolean {
    return this.#state === 'paused';
  }

  /** Whether the circuit breaker of the run is open, because too many steps in a row have failed. */
  get isCircuitOpen(): boolean {
    return isCircuitOpen(this.#faults);
  }

  /** Whether a step may begin now. */
  mayBegin(jobId: string): boolean {
    return !this.paused && (!this.isCircuitOpen || this.#probe === jobId);
  }

  /** Resolves when the run is not paused. Rejects with the signal's reason when the attempt is over. */
  async untilResumed(): Promise<void> {
    while (this.paused && !this.signal.aborted) await this.#changes.wait(pollInterval);
    this.signal.throwIfAborted();
  }

  update({ state, attempt, faults, probe }: RunPosition): void {
    // A late reply of a read before the replay that began this attempt. It is about an earlier attempt.
    if (attempt < this.attempt) return;
    this.#faults = faults;
    this.#probe = probe;
    if (state === this.#state && attempt === this.attempt) return;
    this.#state = state;
    const isReplayed = attempt > this.attempt;
    if ((isReplayed || hasEnded(state)) && !this.signal.aborted) {
      const what = isReplayed ? 'was replayed' : state === 'cancelled' ? 'was cancelled' : `has ${state}`;
      this.#controller.abort(new SentvecError('aborted', `Run ${this.id} ${what}.`, { run: this.id }));
    }
    this.#changes.notify();
    this.onChange();
  }
}
