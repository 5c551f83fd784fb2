import type { AnyWorkflow, RunEvent, RunHandle, RunState, Runtime } from '@sentvec/workflow';
import { expect } from 'vitest';

/** A runtime that serves some workflows. */
export interface ConnectedRuntime {
  readonly runtime: Runtime;
  /**
   * The same runs as another process sees them: a runtime of its own connection. A runtime that lives in one process
   * gives itself.
   */
  readonly elsewhere: () => Promise<Runtime>;
  readonly close: () => Promise<void>;
}

/** What the parts of the contract work with. */
export interface RuntimeFixture {
  readonly readsAhead: number;
  /** Connects for one test; closed when it ends. */
  readonly connect: (...workflows: readonly AnyWorkflow[]) => Promise<ConnectedRuntime>;
}

/** A promise that the test settles. */
export class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

/** Waits, with no deadline but that of the test, until the run is in this state. */
export async function reaches(run: RunHandle, state: RunState): Promise<void> {
  await expect.poll(async () => (await run.status()).state, { timeout: 30_000, interval: 20 }).toBe(state);
}

/** Reads all events of a run until it ends. */
export async function allEvents(run: RunHandle, after?: string): Promise<RunEvent[]> {
  return collect(run.events(after === undefined ? {} : { after }));
}

/** All values of an async iterable. */
export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
