import { SentvecError } from '@sentvec/core';
import {
  hasEnded,
  type DeadLetter,
  type RunEvent,
  type RunHandle,
  type RunState,
  type RunStatus,
} from '@sentvec/workflow';
import type { QueueClient } from './queue-client.ts';
import type { StoredRun } from './run-store.ts';

/** A run in Redis, seen from any process. */
export class QueueRun implements RunHandle {
  readonly id: string;
  readonly #client: QueueClient;

  constructor(id: string, client: QueueClient) {
    this.id = id;
    this.#client = client;
  }

  async status(): Promise<RunStatus> {
    return (await this.#read()).status;
  }

  events({
    after,
    signal,
  }: { after?: string | undefined; signal?: AbortSignal | undefined } = {}): AsyncIterable<RunEvent> {
    return this.#client.events({ id: this.id, after, signal });
  }

  async result({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<unknown> {
    let run: StoredRun | undefined;
    // The status decides; the end of the events only says when to read it again.
    while (!run || !hasEnded(run.status.state)) {
      if (run) for await (const event of this.events({ signal })) void event;
      if (signal?.aborted) throw new SentvecError('aborted', 'The wait for the run was aborted.');
      run = await this.#readWhenConnected();
    }
    const { state, error } = run.status;
    if (state === 'completed') return run.output;
    throw error ? SentvecError.from(error) : new SentvecError('aborted', `Run ${this.id} was cancelled.`);
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    return this.#client.withStore((store) => store.deadLetters(this.id));
  }

  async pause(): Promise<void> {
    await this.#change(['queued', 'running'], 'paused');
  }

  async resume(): Promise<void> {
    await this.#change(['paused'], 'running');
  }

  async cancel(): Promise<void> {
    await this.#change(['queued', 'running', 'paused'], 'cancelled');
  }

  async replay(): Promise<void> {
    const reply = await this.#client.withStore((store) => store.replay(this.id));
    if (reply === 'missing') throw notFound(this.id);
    if (typeof reply === 'string') {
      throw new SentvecError(
        'invalid-argument',
        `Run ${this.id} is ${reply}: only a run that has ended can be replayed.`,
      );
    }
    const { priority } = await this.#read();
    await this.#client.enqueue({ run: this.id, attempt: reply }, priority);
  }

  async #change(from: readonly RunState[], to: RunState): Promise<void> {
    const { status } = await this.#read();
    const reply = await this.#client.withStore((store) =>
      store.transition(this.id, { from, to, attempt: status.attempt }),
    );
    if (reply === 'missing') throw notFound(this.id);
  }

  /** `undefined` while Redis is away: waiting for the end of a run includes waiting for Redis. */
  async #readWhenConnected(): Promise<StoredRun | undefined> {
    try {
      return await this.#read();
    } catch (error) {
      if (SentvecError.is(error, 'queue-unavailable')) return undefined;
      throw error;
    }
  }

  async #read(): Promise<StoredRun> {
    const run = await this.#client.withStore((store) => store.read(this.id));
    if (!run) throw notFound(this.id);
    return run;
  }
}

function notFound(id: string): SentvecError {
  return new SentvecError(
    'run-not-found',
    `There is no run ${id} in this queue. Runs that ended are forgotten after a while.`,
    {
      run: id,
    },
  );
}
