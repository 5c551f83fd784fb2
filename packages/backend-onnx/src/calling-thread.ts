// A session on the calling thread. For a single batch of a few milliseconds, the round trip to a worker thread takes
// longer than it saves.
import type { Head, TokenBatch } from '@sentvec/core';
import { openRunner, type BatchRunner } from './batch-runner.ts';
import { threadHead, type SessionSpecification } from './messages.ts';
import type { PooledHead, SessionThread, ThreadListener } from './session-thread.ts';

/**
 * Opens a model on the calling thread. Opening it and computing a batch block the event loop; docs/adr on the session
 * pool says for how long. A batch starts in the next turn of the event loop.
 * @throws Error with the reason of onnxruntime if the session cannot be opened
 */
export async function openOnCallingThread(
  specification: SessionSpecification,
  listener: ThreadListener,
): Promise<SessionThread> {
  return new CallingThread(await openRunner(specification, (work) => work()), listener);
}

class CallingThread implements SessionThread {
  readonly hiddenSize: number;
  readonly pooledOutput: SessionThread['pooledOutput'];
  readonly inFlight: Set<number> = new Set();
  readonly #runner: BatchRunner;
  readonly #listener: ThreadListener;
  readonly #heads = new Map<Head, number>();
  /** Resolves when the last batch has been computed. */
  #last: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(runner: BatchRunner, listener: ThreadListener) {
    this.#runner = runner;
    this.#listener = listener;
    this.hiddenSize = runner.hiddenSize;
    this.pooledOutput = runner.pooledOutput;
  }

  run(id: number, batch: TokenBatch, pooledHead?: PooledHead): void {
    this.inFlight.add(id);
    this.#last = this.#compute(id, batch, pooledHead);
  }

  /** Does nothing: a batch is computed in this turn of the event loop or the next. */
  cancel(): void {}

  close(): Promise<void> {
    this.#closing ??= this.#last.then(() => this.#runner.release());
    return this.#closing;
  }

  async #compute(id: number, batch: TokenBatch, pooledHead: PooledHead | undefined): Promise<void> {
    const result = await this.#run(batch, pooledHead).then(
      (data) => ({ data }),
      (error: unknown) => ({ reason: error instanceof Error ? error.message : String(error) }),
    );
    this.inFlight.delete(id);
    this.#listener.onOutcome(this, { id, result });
  }

  async #run(batch: TokenBatch, pooledHead: PooledHead | undefined): Promise<Float32Array> {
    const pooled = pooledHead && { head: this.#headNumber(pooledHead.head), mask: pooledHead.mask };
    return this.#runner.run({ ...batch, pooled });
  }

  /** The number of a head. A new head is added to the runner. */
  #headNumber(head: Head): number {
    const known = this.#heads.get(head);
    if (known !== undefined) return known;
    const number = this.#heads.size;
    this.#runner.addHead(threadHead(head));
    this.#heads.set(head, number);
    return number;
  }
}
