// The sessions of a model, and the batches that wait for them.
import { SentvecError, type TokenBatch } from '@sentvec/core';
import { abortError, onAbort, throwIfAborted } from '@sentvec/platform';
import type { SessionFacts } from './messages.ts';
import type { Outcome, PooledHead, SessionThread, ThreadListener } from './session-thread.ts';

/** A batch that someone waits for. */
interface Job {
  readonly id: number;
  readonly batch: TokenBatch;
  readonly pooled: PooledHead | undefined;
  settle(result: Float32Array | SentvecError): void;
}

/** Starts a thread with a session. It rejects with onnxruntime's reason when the session cannot be opened. */
export type StartThread = (listener: ThreadListener) => Promise<SessionThread>;

/** Batches in a thread at once: the one it computes, and the next, so that it need not wait for the main thread. */
const depth = 2;

/** How many threads may die in a row, without a finished batch in between, before the pool gives up. */
const deathsInARow = 3;

/**
 * Sessions of one model in worker threads, and a queue of batches in front of them. It opens one session. The others
 * are opened when a second batch comes while the first is computed: a few texts neither wait for all sessions nor take
 * their memory.
 */
export class SessionPool implements ThreadListener {
  readonly #start: StartThread;
  readonly #onWarning: (message: string) => void;
  /** Sessions that are still to be opened. */
  #further: number;
  readonly #threads: SessionThread[] = [];
  readonly #queue: Job[] = [];
  readonly #sent = new Map<number, Job>();
  #lastId = 0;
  #deaths = 0;
  /** Ends when no thread is being started. */
  #starting: Promise<unknown> = Promise.resolve();
  #failure: SentvecError | undefined;
  #disposal: Promise<void> | undefined;

  private constructor(start: StartThread, sessions: number, onWarning: (message: string) => void) {
    this.#start = start;
    this.#further = sessions - 1;
    this.#onWarning = onWarning;
  }

  /**
   * Opens the first session.
   * @param onWarning hears of further sessions that cannot be opened; the work goes on with those that are open
   * @throws Error with onnxruntime's reason when it cannot be opened
   */
  static async open(start: StartThread, sessions: number, onWarning: (message: string) => void): Promise<SessionPool> {
    const pool = new SessionPool(start, sessions, onWarning);
    pool.#threads.push(await start(pool));
    return pool;
  }

  /** What its sessions say of themselves; they are all alike. */
  get facts(): SessionFacts {
    return this.#threads[0]!;
  }

  /**
   * Token embeddings of a batch, or what a head makes of them, row-major.
   * @throws SentvecError `disposed`, `aborted`, `backend-failed`
   */
  run(batch: TokenBatch, signal?: AbortSignal, pooled?: PooledHead): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      throwIfAborted(signal);
      if (this.#failure !== undefined) throw this.#failure;
      if (batch.rows * batch.cols === 0) return resolve(new Float32Array(0));
      this.#lastId += 1;
      const id = this.#lastId;
      const stopListening = onAbort(signal, () => this.#abandon(id, abortError(signal!)));
      const settle = (result: Float32Array | SentvecError): void => {
        stopListening();
        if (result instanceof SentvecError) reject(result);
        else resolve(result);
      };
      this.#queue.push({ id, batch, pooled, settle });
      this.#dispatch();
    });
  }

  /** Ends all threads. What waits fails with `disposed`. May be called again. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#end();
    return this.#disposal;
  }

  async #end(): Promise<void> {
    this.#fail(new SentvecError('disposed', 'The encoder was disposed of. Load the model again.'));
    await this.#starting;
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #fail(failure: SentvecError): void {
    this.#failure = failure;
    for (const job of [...this.#sent.values(), ...this.#queue.splice(0)]) job.settle(failure);
    this.#sent.clear();
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = leastBusy(this.#threads);
      if (thread !== undefined && thread.inFlight.size > 0) this.#grow();
      if (thread === undefined || thread.inFlight.size >= depth) return;
      const job = this.#queue.shift()!;
      this.#sent.set(job.id, job);
      thread.run(job.id, job.batch, job.pooled);
    }
  }

  /** Opens the sessions that are still missing. */
  #grow(): void {
    if (this.#further === 0) return;
    const threads = Array.from({ length: this.#further }, () => this.#add());
    this.#further = 0;
    this.#starting = Promise.all([this.#starting, ...threads]);
  }

  async #add(): Promise<void> {
    try {
      this.#threads.push(await this.#start(this));
      this.#dispatch();
    } catch (error) {
      this.#onWarning(
        `A further session of onnxruntime cannot be opened; going on with ${this.#threads.length}. ${String(error)}`,
      );
    }
  }

  #abandon(id: number, error: SentvecError): void {
    const waiting = this.#queue.findIndex((job) => job.id === id);
    const job = waiting >= 0 ? this.#queue.splice(waiting, 1)[0] : this.#sent.get(id);
    this.#sent.delete(id);
    this.#threads.find((thread) => thread.inFlight.has(id))?.cancel(id);
    job?.settle(error);
  }

  onOutcome(_thread: SessionThread, { id, result }: Outcome): void {
    const job = this.#sent.get(id);
    this.#sent.delete(id);
    if (result !== 'cancelled' && 'data' in result) {
      this.#deaths = 0;
      job?.settle(result.data);
    } else if (result !== 'cancelled') {
      job?.settle(new SentvecError('backend-failed', `onnxruntime failed on a batch: ${result.reason}`));
    }
    this.#dispatch();
  }

  onDeath(thread: SessionThread, reason: string): void {
    this.#threads.splice(this.#threads.indexOf(thread), 1);
    this.#deaths += 1;
    const [computed, ...next] = thread.inFlight;
    this.#reject(computed, `A batch was lost. ${reason}`);
    for (const id of next.toReversed()) this.#requeue(id);
    if (this.#failure !== undefined) return;
    this.#starting = this.#starting.then(() => this.#restart(reason));
  }

  async #restart(reason: string): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      if (this.#deaths >= deathsInARow) throw new Error(reason);
      this.#threads.push(await this.#start(this));
      this.#dispatch();
    } catch (error) {
      if (this.#threads.length > 0 && this.#deaths < deathsInARow) return;
      this.#fail(
        new SentvecError('backend-failed', `The worker threads of onnxruntime die again and again: ${String(error)}`),
      );
    }
  }

  #reject(id: number | undefined, message: string): void {
    const job = id === undefined ? undefined : this.#sent.get(id);
    if (job === undefined) return;
    this.#sent.delete(job.id);
    job.settle(new SentvecError('backend-failed', message));
  }

  #requeue(id: number): void {
    const job = this.#sent.get(id);
    if (job === undefined) return;
    this.#sent.delete(id);
    this.#queue.unshift(job);
  }
}

function leastBusy(threads: readonly SessionThread[]): SessionThread | undefined {
  let best: SessionThread | undefined;
  for (const thread of threads) if (best === undefined || thread.inFlight.size < best.inFlight.size) best = thread;
  return best;
}
