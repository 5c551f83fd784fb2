// The handle of one run: its status, events, result and dead letters, and its state changes.
import { SentvecError } from '@sentvec/core';
import {
  checkFailedIds,
  hasEnded,
  type DeadLetter,
  type FailedItem,
  type RunEvent,
  type RunHandle,
  type RunState,
  type RunStatus,
} from '@sentvec/workflow';
import type { QueueClient } from './queue-client.ts';
import type { Rejected } from './run-store.ts';

/** The handle of a run in Redis, which works in any process. */
export class QueueRun implements RunHandle {
  readonly id: string;
  readonly #client: QueueClient;
  #attempt: number;

  constructor(id: string, attempt: number, client: QueueClient) {
    this.id = id;
    this.#attempt = attempt;
    this.#client = client;
  }

  get attempt(): number {
    return this.#attempt;
  }

  async status(): Promise<RunStatus> {
    const status = await this.#client.withStore((store) => store.readStatus(this.id));
    if (!status) throw runNotFoundError(this.id);
    const [noticed] = await this.#client.withNotices([status]);
    return noticed!;
  }

  events({
    after,
    signal,
  }: { after?: string | undefined; signal?: AbortSignal | undefined } = {}): AsyncIterable<RunEvent> {
    return this.#client.events({ id: this.id, after, signal });
  }

  async result({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<unknown> {
    let status: RunStatus | undefined;
    // The end of the events only triggers another read of the status, which is decisive.
    while (!status || !hasEnded(status.state)) {
      if (status) for await (const event of this.events({ signal })) void event;
      if (signal?.aborted) throw new SentvecError('aborted', 'The wait for the run was aborted.');
      status = await this.#statusWhenConnected();
    }
    const { state, error } = status;
    if (state === 'completed') return this.#client.withStore((store) => store.readOutput(this.id));
    throw error ? SentvecError.from(error) : new SentvecError('aborted', `Run ${this.id} was cancelled.`);
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    return this.#client.withStore((store) => store.deadLetters(this.id));
  }

  async failedItems(): Promise<readonly FailedItem[]> {
    return this.#client.withStore((store) => store.failedItems(this.id));
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

  async replay({ items }: Parameters<RunHandle['replay']>[0] = {}): Promise<void> {
    if (items) checkFailedIds(this.id, items, await this.failedItems());
    const reply = await this.#client.withStore((store) => store.replay(this.id, this.#attempt, items));
    this.#checkAttempt(reply);
    if (reply !== 'ok') {
      throw new SentvecError(
        'invalid-argument',
        `Run ${this.id} is ${reply}. Only a run that has ended can be replayed.`,
      );
    }
    this.#attempt += 1;
    await this.#client.enqueue({ run: this.id, attempt: this.#attempt });
  }

  async #change(from: readonly RunState[], to: RunState): Promise<void> {
    const change = { from, to, attempt: this.#attempt };
    this.#checkAttempt(await this.#client.withStore((store) => store.transition(this.id, change)));
  }

  /** @throws SentvecError `run-not-found`; `invalid-argument` when the run was replayed since this handle was made */
  #checkAttempt(reply: 'ok' | Rejected): void {
    if (reply === 'missing') throw runNotFoundError(this.id);
    if (reply !== 'superseded') return;
    throw new SentvecError(
      'invalid-argument',
      `Run ${this.id} was replayed, but this handle is for attempt ${this.#attempt}. Find the run again to get a new handle.`,
      { run: this.id, attempt: this.#attempt },
    );
  }

  /** The status, or `undefined` if Redis is unreachable, because \`result\` waits for Redis too. */
  async #statusWhenConnected(): Promise<RunStatus | undefined> {
    try {
      return await this.status();
    } catch (error) {
      if (SentvecError.is(error, 'queue-unavailable')) return undefined;
      throw error;
    }
  }
}

function runNotFoundError(id: string): SentvecError {
  return new SentvecError(
    'run-not-found',
    `There is no run ${id} in this queue. Ended runs are removed after their retention time, and a Redis without "appendonly yes" loses all runs when it restarts.`,
    { run: id },
  );
}
