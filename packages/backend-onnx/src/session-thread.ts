/*
 * The pool's end of a thread with a session in it.
 */
import { SentvecError, type Projection, type TokenBatch } from '@sentvec/core';
import { sharedProjection } from '@sentvec/core/node';
import { startThread, type Thread } from '@sentvec/platform/node';
import type { SessionProtocol, SessionSpecification, ThreadHead } from './messages.ts';
import { createRunState, forget, waitAtExit } from './run-state.ts';

/** What becomes of a batch that was sent to a thread. */
export interface Outcome {
  readonly id: number;
  /** The token embeddings, or the vectors that the head made of them; or why there are none. */
  readonly result: { readonly data: Float32Array } | { readonly reason: string } | 'cancelled';
}

/** A thread with a session, as the pool sees it. */
export interface SessionThread {
  readonly hiddenSize: number;
  /** Batches that were sent and have not come back, oldest first: the oldest is being computed. */
  readonly inFlight: ReadonlySet<number>;
  /** Sends a batch, and a head that the thread is to apply. The arrays are copied: they stay the caller's. */
  run(id: number, batch: TokenBatch, head?: PooledHead): void;
  /** Takes a batch back that the thread has not begun. Its outcome is then `cancelled`; otherwise it comes as usual. */
  cancel(id: number): void;
  /** Releases the session and ends the thread, after the batch that it is computing. May be called again. */
  close(): Promise<void>;
}

/** A head with a built-in pooling, which a thread can apply. */
export interface PooledHead {
  readonly modes: ThreadHead['modes'];
  /** Which tokens take part in pooling. */
  readonly mask: Int32Array;
  readonly projections: readonly Projection[];
}

/** How a thread tells its owner. */
export interface ThreadListener {
  onOutcome(thread: SessionThread, outcome: Outcome): void;
  /** The thread ended without being asked to. */
  onDeath(thread: SessionThread, reason: string): void;
}

/**
 * Starts a worker thread and opens its session.
 * @throws Error with onnxruntime's reason when the session cannot be opened
 */
export async function startSessionThread(
  specification: SessionSpecification,
  listener: ThreadListener,
): Promise<SessionThread> {
  const state = createRunState();
  waitAtExit(state);
  let session: WorkerSessionThread | undefined;
  const thread = await startThread<SessionProtocol>(new URL('./session-worker.js', import.meta.url), {
    name: 'onnxruntime session',
    data: { ...specification, state },
    // It makes little garbage, which V8 would let grow to 48 MB before it looks.
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
    onEnd: (reason) => {
      forget(state);
      session?.onEnd(reason);
    },
  });
  session = new WorkerSessionThread(thread, listener);
  return session;
}

class WorkerSessionThread implements SessionThread {
  readonly hiddenSize: number;
  readonly inFlight: Set<number> = new Set();
  readonly #thread: Thread<SessionProtocol>;
  readonly #listener: ThreadListener;
  readonly #controllers = new Map<number, AbortController>();
  /** Projections that the thread has got, in order. */
  readonly #projections: Projection[] = [];
  #ended = false;

  constructor(thread: Thread<SessionProtocol>, listener: ThreadListener) {
    this.#thread = thread;
    this.#listener = listener;
    this.hiddenSize = thread.ready.hiddenSize;
  }

  run(id: number, { ids, mask, rows, cols }: TokenBatch, pooledHead?: PooledHead): void {
    const copy = { ids: ids.slice(), mask: mask.slice() };
    const head = pooledHead && {
      ...pooledHead,
      projections: pooledHead.projections.map((projection) => this.#indexOf(projection)),
    };
    const controller = new AbortController();
    this.inFlight.add(id);
    this.#controllers.set(id, controller);
    const { signal } = controller;
    const transfer = [copy.ids.buffer, copy.mask.buffer];
    void this.#report(id, this.#thread.call('run', { ...copy, rows, cols, head }, { signal, transfer }));
  }

  /** The index of a projection among those of the thread, which gets it when it is new. */
  #indexOf(projection: Projection): number {
    const index = this.#projections.indexOf(projection);
    if (index >= 0) return index;
    // A thread that has ended tells with its batches.
    this.#thread.call('addProjection', sharedProjection(projection)).catch(() => {});
    return this.#projections.push(projection) - 1;
  }

  async #report(id: number, vectors: Promise<Float32Array>): Promise<void> {
    const result = await vectors.then(
      (data) => ({ data }),
      (error: Error) => (SentvecError.is(error, 'aborted') ? 'cancelled' : { reason: error.message }),
    );
    if (this.#ended) return; // Batches that were in flight then are told of by `onDeath`.
    this.inFlight.delete(id);
    this.#controllers.delete(id);
    this.#listener.onOutcome(this, { id, result });
  }

  cancel(id: number): void {
    this.#controllers.get(id)?.abort();
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  /** The thread has ended. */
  onEnd(reason: SentvecError): void {
    this.#ended = true;
    if (reason.code !== 'disposed') this.#listener.onDeath(this, reason.message);
  }
}
