// The session pool of a model and its queue of batches.
import type { TokenBatch } from '@sentvec/core';
import { abortError, onAbort, SentvecError, throwIfAborted, warn } from '@sentvec/platform';
import { LoneBatches, RecentCosts } from './lone-batches.ts';
import type { SessionFacts } from './messages.ts';
import type { Outcome, PooledHead, SessionThread, ThreadListener } from './session-thread.ts';

/** A batch in the queue or in a thread. */
interface Job {
  readonly id: number;
  readonly batch: TokenBatch;
  readonly pooled: PooledHead | undefined;
  settle(result: Float32Array | SentvecError): void;
}

/** Starts a thread with a session. It rejects with the reason of onnxruntime if the session cannot be opened. */
export type StartThread = (listener: ThreadListener) => Promise<SessionThread>;

/** Options of {@link SessionPool.open}. */
export interface PoolOptions {
  /** Starts a thread of the pool. */
  readonly start: StartThread;
  /**
   * Starts the thread with the wide session for lone batches, which uses several cores.
   * @default none
   */
  readonly startWide?: StartThread | undefined;
  /**
   * Opens the session for short lone batches on the calling thread, which uses several cores.
   * @default none
   */
  readonly openOnThisThread?: StartThread | undefined;
  /** The number of sessions that compute concurrently. */
  readonly sessions: number;
  /** Called if a further session cannot be opened; the pool continues with the open sessions. */
  readonly onWarning: (message: string) => void;
}

/**
 * The maximum number of batches in a thread: the current one and the next one, so that the thread need not wait for the
 * main thread.
 */
const depth = 2;

/** An additional session for lone batches, which is opened on demand. */
interface LoneSession {
  readonly start: StartThread | undefined;
  /** The name of the session in messages. */
  readonly name: string;
  readonly batches: LoneBatches;
  thread?: SessionThread | undefined;
  hasStarted?: boolean | undefined;
}

/** A lone batch, that is the only batch that is being computed. */
interface LoneBatch {
  readonly id: number;
  /** The additional session that could compute it; `isThere` tells whether it does. */
  readonly session: LoneSession;
  readonly isThere: boolean;
  readonly positions: number;
  readonly started: number;
}

/**
 * The minimum time in milliseconds of a batch for which several threads are used, because waking them takes about 0.1
 * ms.
 */
const minMillisecondsForWide = 1;

/**
 * The maximum expected time, in milliseconds on one thread, of a batch that may be computed on the calling thread. With
 * two threads such a batch blocks it for about 5 ms.
 */
const maxOnCallingThread = 10;

/** The number of successive crashes of threads, without a finished batch in between, after which the pool fails. */
const maxSuccessiveDeaths = 3;

/**
 * Sessions of one model in worker threads, with a queue of batches. The pool first opens one session. The others are
 * opened when a second batch arrives while the first is computed, so that a few texts neither wait for all sessions nor
 * need their memory. For batches that arrive one at a time, such as queries, there may be two additional sessions that
 * use several cores: one on the calling thread for short batches, and one in a worker thread for others. They are used
 * only for lone batches, and only while they are faster.
 */
export class SessionPool implements ThreadListener {
  readonly #start: StartThread;
  readonly #onWarning: (message: string) => void;
  /** The number of sessions that have not been opened yet. */
  #further: number;
  readonly #threads: SessionThread[] = [];
  /** The additional session in a worker thread. */
  readonly #wide: LoneSession;
  /** The additional session on the calling thread. */
  readonly #here: LoneSession;
  /** The times of lone batches in the sessions of the pool. */
  readonly #costs = new RecentCosts();
  #lone: LoneBatch | undefined;
  readonly #queue: Job[] = [];
  readonly #sent = new Map<number, Job>();
  #lastId = 0;
  #deaths = 0;
  /** Resolves when no thread is being started. */
  #starting: Promise<unknown> = Promise.resolve();
  #failure: SentvecError | undefined;
  #disposal: Promise<void> | undefined;

  private constructor({ start, startWide, openOnThisThread, sessions, onWarning }: PoolOptions) {
    this.#start = start;
    const batches = new LoneBatches(minMillisecondsForWide);
    this.#wide = { start: startWide, name: 'A session of several threads', batches };
    this.#here = { start: openOnThisThread, name: 'A session on the calling thread', batches: new LoneBatches(0) };
    this.#further = sessions - 1;
    this.#onWarning = (message) => {
      try {
        onWarning(message);
      } catch (error) {
        warn(`onWarning failed: ${String(error)}`); // An error of the callback must not prevent sessions from being opened and closed.
      }
    };
  }

  /**
   * Opens the first session.
   * @throws Error with the reason of onnxruntime if it cannot be opened
   */
  static async open(options: PoolOptions): Promise<SessionPool> {
    const pool = new SessionPool(options);
    pool.#threads.push(await options.start(pool));
    return pool;
  }

  /** Properties of the model, which are the same in all sessions. */
  get facts(): SessionFacts {
    return this.#threads[0]!;
  }

  /**
   * Computes the token embeddings of a batch, or the vectors of a head, row-major.
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

  /** Ends all threads. Pending batches fail with `disposed`. May be called more than once. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#end();
    return this.#disposal;
  }

  async #end(): Promise<void> {
    this.#fail(new SentvecError('disposed', 'The encoder was disposed. Load the model again.'));
    await this.#starting;
    await Promise.all(this.#all().map(async (thread) => thread.close()));
  }

  #fail(failure: SentvecError): void {
    this.#failure = failure;
    this.#lone = undefined; // No more times are recorded and no more sessions are opened.
    for (const job of [...this.#sent.values(), ...this.#queue.splice(0)]) job.settle(failure);
    this.#sent.clear();
  }

  /** All sessions that are open. */
  #all(): SessionThread[] {
    return [...this.#threads, this.#wide.thread, this.#here.thread].filter((thread) => thread !== undefined);
  }

  #dispatch(): void {
    // A lone batch may be the first of several that arrive in the same turn of the event loop.
    if (this.#freeLoneSession() !== undefined) queueMicrotask(() => this.#dispatchTo(this.#freeLoneSession()));
    else this.#dispatchTo(undefined);
  }

  /** The additional session for the waiting batch, if it is a lone batch and the session is open and free. */
  #freeLoneSession(): LoneSession | undefined {
    if (this.#sent.size > 0 || this.#queue.length !== 1) return undefined;
    const session = this.#loneSessionFor(positionsOf(this.#queue[0]!.batch));
    // The thread may still be computing an aborted batch. When that is done, the next waiting batch is sent.
    return session.thread?.inFlight.size === 0 ? session : undefined;
  }

  #loneSessionFor(positions: number): LoneSession {
    if (this.#here.start === undefined) return this.#wide;
    return this.#costs.expected(positions) <= maxOnCallingThread ? this.#here : this.#wide;
  }

  /** @param lone the additional session for a lone batch; it is used unless the pool is faster */
  #dispatchTo(lone: LoneSession | undefined): void {
    if (lone?.batches.choose() === 'wide') this.#send(lone.thread!, lone);
    while (this.#queue.length > 0 && this.#lone?.isThere !== true) {
      const thread = leastBusy(this.#threads);
      if (thread !== undefined && thread.inFlight.size > 0) this.#grow();
      if (thread === undefined || thread.inFlight.size >= depth) return;
      this.#send(thread);
    }
  }

  #send(thread: SessionThread, lone?: LoneSession): void {
    const job = this.#queue.shift()!;
    const positions = positionsOf(job.batch);
    const session = lone ?? this.#loneSessionFor(positions);
    const isAlone = this.#sent.size === 0 && this.#queue.length === 0;
    const isThere = lone !== undefined;
    this.#lone = isAlone ? { id: job.id, session, isThere, positions, started: performance.now() } : undefined;
    this.#sent.set(job.id, job);
    thread.run(job.id, job.batch, job.pooled);
  }

  /** Records the time of a batch that was the only one from start to end. */
  #recordTime({ session, isThere, positions, started }: LoneBatch): void {
    const milliseconds = performance.now() - started;
    if (!isThere) this.#costs.add(positions, milliseconds);
    session.batches.add(isThere ? 'wide' : 'narrow', positions, milliseconds);
    if (session.start === undefined || session.hasStarted === true || !session.batches.shouldOpenWide) return;
    session.hasStarted = true;
    this.#starting = Promise.all([this.#starting, this.#openLone(session, session.start)]);
  }

  /** Opens an additional session. If that fails, the pool continues without it. */
  async #openLone(session: LoneSession, start: StartThread): Promise<void> {
    try {
      session.thread = await start(this);
    } catch (error) {
      this.#onWarning(`${session.name} for single texts cannot be opened. ${String(error)}`);
    }
  }

  /** Opens the remaining sessions of the pool. */
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
        `Another session of onnxruntime cannot be opened; continuing with ${this.#threads.length}. ${String(error)}`,
      );
    }
  }

  #abandon(id: number, error: SentvecError): void {
    const waiting = this.#queue.findIndex((job) => job.id === id);
    const job = waiting >= 0 ? this.#queue.splice(waiting, 1)[0] : this.#sent.get(id);
    this.#sent.delete(id);
    this.#all()
      .find((thread) => thread.inFlight.has(id))
      ?.cancel(id);
    if (this.#lone?.id === id && !this.#lone.isThere) this.#lone = undefined;
    job?.settle(error);
  }

  onOutcome(_thread: SessionThread, { id, result }: Outcome): void {
    const job = this.#sent.get(id);
    this.#sent.delete(id);
    const lone = this.#lone;
    if (id === lone?.id) this.#lone = undefined;
    if (result !== 'cancelled' && 'data' in result) {
      if (id === lone?.id) this.#recordTime(lone);
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
    if (thread === this.#wide.thread) {
      this.#wide.thread = undefined; // The sessions of the pool compute its batches.
      this.#dispatch();
    } else {
      this.#starting = this.#starting.then(() => this.#restart(reason));
      this.#dispatch(); // The remaining threads need not wait for the new one, which may fail to start.
    }
  }

  async #restart(reason: string): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      if (this.#deaths >= maxSuccessiveDeaths) throw new Error(reason);
      this.#threads.push(await this.#start(this));
      this.#dispatch();
    } catch (error) {
      const left = this.#threads.length;
      if (left > 0 && this.#deaths < maxSuccessiveDeaths) {
        this.#onWarning(
          `A session of onnxruntime ended and cannot be opened again; continuing with ${left}. ${String(error)}`,
        );
        return;
      }
      this.#fail(
        new SentvecError('backend-failed', `The worker threads of onnxruntime keep crashing: ${String(error)}`),
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

function positionsOf({ rows, cols }: TokenBatch): number {
  return rows * cols;
}

function leastBusy(threads: readonly SessionThread[]): SessionThread | undefined {
  let best: SessionThread | undefined;
  for (const thread of threads) if (best === undefined || thread.inFlight.size < best.inFlight.size) best = thread;
  return best;
}
