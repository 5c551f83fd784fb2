// The sessions of a model, and the batches that wait for them.
import type { TokenBatch } from '@sentvec/core';
import { abortError, onAbort, SentvecError, throwIfAborted, warn } from '@sentvec/platform';
import { LoneBatches, RecentCosts } from './lone-batches.ts';
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
  /** Opens the session for short lone batches on the calling thread, with the threads of all the cores. */
  readonly openHere?: StartThread | undefined;
  /** Sessions that compute at the same time. */
  readonly sessions: number;
  /** Called when a further session cannot be opened; the pool goes on with those that are open. */
  readonly onWarning: (message: string) => void;
}

/** Batches in a thread at once: the one it computes, and the next, so that it need not wait for the main thread. */
const depth = 2;

/** A session for lone batches besides those of the pool, once it has been opened. */
interface LoneSession {
  readonly start: StartThread | undefined;
  /** How a person would name it. */
  readonly name: string;
  readonly batches: LoneBatches;
  thread?: SessionThread | undefined;
  hasStarted?: boolean | undefined;
}

/** The only batch that is computed. */
interface LoneBatch {
  readonly id: number;
  /** The session that it may have, and whether it is in that one. */
  readonly session: LoneSession;
  readonly isThere: boolean;
  readonly positions: number;
  readonly started: number;
}

/** Milliseconds below which a batch is not worth several threads: waking them takes a tenth of that. */
const leastOfSeveralThreads = 1;

/**
 * Milliseconds on one thread. A batch that is expected to take longer does not hold up the calling thread; with two
 * threads one of this length holds it up for some 5 ms, as long as anything else may.
 */
const maxOnCallingThread = 10;

/** How many threads may die in a row, without a finished batch in between, before the pool gives up. */
const deathsInARow = 3;

/**
 * Sessions of one model in worker threads, and a queue of batches in front of them. It opens one session. The others
 * are opened when a second batch comes while the first is computed: a few texts neither wait for all sessions nor take
 * their memory.
 *
 * Batches that come one at a time, as those of a query do, may have further sessions, whose threads are all the cores:
 * one on the calling thread for short ones, one in a thread of its own for others. They compute nothing beside another
 * batch, and are used as long as they are faster.
 */
export class SessionPool implements ThreadListener {
  readonly #start: StartThread;
  readonly #onWarning: (message: string) => void;
  /** Sessions that are still to be opened. */
  #further: number;
  readonly #threads: SessionThread[] = [];
  /** The session of several threads, in a thread of its own. */
  readonly #wide: LoneSession;
  /** The one on the calling thread. */
  readonly #here: LoneSession;
  /** Of lone batches in the sessions of one thread. */
  readonly #costs = new RecentCosts();
  #lone: LoneBatch | undefined;
  readonly #queue: Job[] = [];
  readonly #sent = new Map<number, Job>();
  #lastId = 0;
  #deaths = 0;
  /** Ends when no thread is being started. */
  #starting: Promise<unknown> = Promise.resolve();
  #failure: SentvecError | undefined;
  #disposal: Promise<void> | undefined;

  private constructor({ start, startWide, openHere, sessions, onWarning }: PoolOptions) {
    this.#start = start;
    const batches = new LoneBatches(leastOfSeveralThreads);
    this.#wide = { start: startWide, name: 'A session of several threads', batches };
    this.#here = { start: openHere, name: 'A session on the calling thread', batches: new LoneBatches(0) };
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
    await Promise.all(this.#all().map(async (thread) => thread.close()));
  }

  #fail(failure: SentvecError): void {
    this.#failure = failure;
    this.#lone = undefined; // Nothing is learned, or opened, any more.
    for (const job of [...this.#sent.values(), ...this.#queue.splice(0)]) job.settle(failure);
    this.#sent.clear();
  }

  /** All sessions that are open. */
  #all(): SessionThread[] {
    return [...this.#threads, this.#wide.thread, this.#here.thread].filter((thread) => thread !== undefined);
  }

  #dispatch(): void {
    // A lone batch may be the first of several that come in this moment.
    if (this.#freeLoneSession() !== undefined) queueMicrotask(() => this.#dispatchTo(this.#freeLoneSession()));
    else this.#dispatchTo(undefined);
  }

  /** The session for the waiting batch, if it is alone and that session is open and free. */
  #freeLoneSession(): LoneSession | undefined {
    if (this.#sent.size > 0 || this.#queue.length !== 1) return undefined;
    const session = this.#loneSessionFor(positionsOf(this.#queue[0]!.batch));
    // The thread may still compute a batch that was aborted. When that ends, the next waiting batch is sent.
    return session.thread?.inFlight.size === 0 ? session : undefined;
  }

  #loneSessionFor(positions: number): LoneSession {
    if (this.#here.start === undefined) return this.#wide;
    return this.#costs.expected(positions) <= maxOnCallingThread ? this.#here : this.#wide;
  }

  /** @param lone the session for the only batch, unless one of the pool is faster */
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

  /** A batch that was alone all the while came back. */
  #learn({ session, isThere, positions, started }: LoneBatch): void {
    const milliseconds = performance.now() - started;
    if (!isThere) this.#costs.add(positions, milliseconds);
    session.batches.add(isThere ? 'wide' : 'narrow', positions, milliseconds);
    if (session.start === undefined || session.hasStarted === true || !session.batches.deserveWide) return;
    session.hasStarted = true;
    this.#starting = Promise.all([this.#starting, this.#openLone(session, session.start)]);
  }

  /** Without it, all goes on as before. */
  async #openLone(session: LoneSession, start: StartThread): Promise<void> {
    try {
      session.thread = await start(this);
    } catch (error) {
      this.#onWarning(`${session.name} for single texts cannot be opened. ${String(error)}`);
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
    if (thread === this.#wide.thread) {
      this.#wide.thread = undefined; // Those of one thread do its work.
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
      const left = this.#threads.length;
      if (left > 0 && this.#deaths < deathsInARow) {
        this.#onWarning(
          `A session of onnxruntime ended and cannot be opened again; going on with ${left}. ${String(error)}`,
        );
        return;
      }
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

function positionsOf({ rows, cols }: TokenBatch): number {
  return rows * cols;
}

function leastBusy(threads: readonly SessionThread[]): SessionThread | undefined {
  let best: SessionThread | undefined;
  for (const thread of threads) if (best === undefined || thread.inFlight.size < best.inFlight.size) best = thread;
  return best;
}
