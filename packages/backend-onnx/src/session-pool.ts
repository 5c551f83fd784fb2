// The sessions of a model, and the batches that wait for them.
import type { TokenBatch } from '@sentvec/core';
import { abortError, onAbort, SentvecError, throwIfAborted, warn } from '@sentvec/platform';
import { LoneBatches, type SessionWidth } from './lone-batches.ts';
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

/** Options of {@link SessionPool.open}. */
export interface PoolOptions {
  /** Starts a thread of the pool. */
  readonly start: StartThread;
  /** Starts the thread with the session for lone batches, whose threads are all the cores. */
  readonly startWide?: StartThread | undefined;
  /** Sessions that compute at the same time. */
  readonly sessions: number;
  /** Called when a further session cannot be opened; the pool goes on with those that are open. */
  readonly onWarning: (message: string) => void;
}

/** Batches in a thread at once: the one it computes, and the next, so that it need not wait for the main thread. */
const depth = 2;

/** The only batch that is computed. */
interface LoneBatch {
  readonly id: number;
  readonly width: SessionWidth;
  readonly positions: number;
  readonly started: number;
}

/** How many threads may die in a row, without a finished batch in between, before the pool gives up. */
const deathsInARow = 3;

/**
 * Sessions of one model in worker threads, and a queue of batches in front of them. It opens one session. The others
 * are opened when a second batch comes while the first is computed: a few texts neither wait for all sessions nor take
 * their memory.
 *
 * Batches that come one at a time, as those of a query do, may have a further session, whose threads are all the cores.
 * It computes nothing beside another batch, and is used as long as it is faster.
 */
export class SessionPool implements ThreadListener {
  readonly #start: StartThread;
  readonly #startWide: StartThread | undefined;
  readonly #onWarning: (message: string) => void;
  /** Sessions that are still to be opened. */
  #further: number;
  readonly #threads: SessionThread[] = [];
  readonly #loneBatches = new LoneBatches();
  #lone: LoneBatch | undefined;
  /** The session of several threads. */
  #wide: SessionThread | undefined;
  #hasStartedWide = false;
  readonly #queue: Job[] = [];
  readonly #sent = new Map<number, Job>();
  #lastId = 0;
  #deaths = 0;
  /** Ends when no thread is being started. */
  #starting: Promise<unknown> = Promise.resolve();
  #failure: SentvecError | undefined;
  #disposal: Promise<void> | undefined;

  private constructor({ start, startWide, sessions, onWarning }: PoolOptions) {
    this.#start = start;
    this.#startWide = startWide;
    this.#further = sessions - 1;
    this.#onWarning = (message) => {
      try {
        onWarning(message);
      } catch (error) {
        warn(`onWarning failed: ${String(error)}`); // It must not keep sessions from being opened and closed.
      }
    };
  }

  /**
   * Opens the first session.
   * @throws Error with onnxruntime's reason when it cannot be opened
   */
  static async open(options: PoolOptions): Promise<SessionPool> {
    const pool = new SessionPool(options);
    pool.#threads.push(await options.start(pool));
    return pool;
  }

  /** Facts about the model; they are the same in all sessions. */
  get facts(): SessionFacts {
    return this.#threads[0]!;
  }

  /**
   * Token embeddings of a batch, or the vectors that a head computes from them, row-major.
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
    await Promise.all([...this.#threads, this.#wide].map(async (thread) => thread?.close()));
  }

  #fail(failure: SentvecError): void {
    this.#failure = failure;
    this.#lone = undefined; // Nothing is learned, or opened, any more.
    for (const job of [...this.#sent.values(), ...this.#queue.splice(0)]) job.settle(failure);
    this.#sent.clear();
  }

  #dispatch(): void {
    // A lone batch may be the first of several that come in this moment.
    if (this.#mayGoWide()) queueMicrotask(() => this.#dispatchTo(this.#mayGoWide() ? this.#wide : undefined));
    else this.#dispatchTo(undefined);
  }

  #mayGoWide(): boolean {
    // The thread may still compute a batch that was aborted. When that ends, the next waiting batch is sent.
    return this.#wide?.inFlight.size === 0 && this.#sent.size === 0 && this.#queue.length === 1;
  }

  /** @param wide the session for the only batch, unless one of one thread is faster */
  #dispatchTo(wide: SessionThread | undefined): void {
    if (wide !== undefined && this.#loneBatches.choose() === 'wide') this.#send(wide, 'wide');
    while (this.#queue.length > 0 && this.#lone?.width !== 'wide') {
      const thread = leastBusy(this.#threads);
      if (thread !== undefined && thread.inFlight.size > 0) this.#grow();
      if (thread === undefined || thread.inFlight.size >= depth) return;
      this.#send(thread, 'narrow');
    }
  }

  #send(thread: SessionThread, width: SessionWidth): void {
    const job = this.#queue.shift()!;
    const positions = job.batch.rows * job.batch.cols;
    const isLone = this.#sent.size === 0 && this.#queue.length === 0;
    this.#lone = isLone ? { id: job.id, width, positions, started: performance.now() } : undefined;
    this.#sent.set(job.id, job);
    thread.run(job.id, job.batch, job.pooled);
  }

  /** A batch that was alone all the while came back. */
  #learn(lone: LoneBatch): void {
    this.#loneBatches.add(lone.width, lone.positions, performance.now() - lone.started);
    if (this.#startWide === undefined || this.#hasStartedWide || !this.#loneBatches.deserveWide) return;
    this.#hasStartedWide = true;
    this.#starting = Promise.all([this.#starting, this.#openWide(this.#startWide)]);
  }

  /** Without it, all goes on as before. */
  async #openWide(start: StartThread): Promise<void> {
    try {
      this.#wide = await start(this);
    } catch (error) {
      this.#onWarning(`A session of several threads for single texts cannot be opened. ${String(error)}`);
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
    [...this.#threads, this.#wide].find((thread) => thread?.inFlight.has(id))?.cancel(id);
    if (this.#lone?.id === id && this.#lone.width === 'narrow') this.#lone = undefined;
    job?.settle(error);
  }

  onOutcome(_thread: SessionThread, { id, result }: Outcome): void {
    const job = this.#sent.get(id);
    this.#sent.delete(id);
    const lone = this.#lone;
    if (id === lone?.id) this.#lone = undefined;
    if (result !== 'cancelled' && 'data' in result) {
      if (id === lone?.id) this.#learn(lone);
      this.#deaths = 0;
      job?.settle(result.data);
    } else if (result !== 'cancelled') {
      job?.settle(new SentvecError('backend-failed', `onnxruntime failed on a batch: ${result.reason}`));
    }
    this.#dispatch();
  }

  onDeath(thread: SessionThread, reason: string): void {
    const position = this.#threads.indexOf(thread);
    if (position >= 0) this.#threads.splice(position, 1);
    this.#deaths += 1;
    this.#lone = undefined;
    const [computed, ...next] = thread.inFlight;
    this.#reject(computed, `A batch was lost. ${reason}`);
    for (const id of next.toReversed()) this.#requeue(id);
    if (this.#failure !== undefined) return;
    if (thread === this.#wide) {
      this.#wide = undefined; // Those of one thread do its work.
      this.#dispatch();
    } else {
      this.#starting = this.#starting.then(() => this.#restart(reason));
      this.#dispatch(); // Those that are left need not wait for the new one, which may not come.
    }
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
