import { Worker } from 'node:worker_threads';
import { SentvecError, type Projection, type TokenBatch } from '@sentvec/core';
import { sharedProjection } from '@sentvec/core/node';
import type { Reply, Request, SessionSpecification, ThreadHead, WorkerStart } from './messages.ts';
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
  const workerData: WorkerStart = { ...specification, state };
  const worker = new Worker(new URL('./session-worker.js', import.meta.url), {
    workerData,
    // The flags of the program (--input-type, loaders) are not for this file.
    execArgv: [],
    // It makes little garbage, which V8 would let grow to 48 MB before it looks.
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
    name: 'sentvec onnx session',
  });
  waitAtExit(state);
  worker.once('exit', () => forget(state));
  return new WorkerSessionThread(worker, await readiness(worker), listener);
}

/**
 * Keeps the process alive while a batch is in the thread, and only then, so that a program that forgets `dispose` still
 * ends.
 */
class WorkerSessionThread implements SessionThread {
  readonly hiddenSize: number;
  readonly #worker: Worker;
  readonly #inFlight = new Set<number>();
  /** Projections that the thread has got, in order. */
  readonly #projections: Projection[] = [];
  #closing: Promise<void> | undefined;

  constructor(worker: Worker, hiddenSize: number, listener: ThreadListener) {
    this.#worker = worker;
    this.hiddenSize = hiddenSize;
    this.#listen(listener);
    worker.unref();
  }

  get inFlight(): ReadonlySet<number> {
    return this.#inFlight;
  }

  run(id: number, { ids, mask, rows, cols }: TokenBatch, pooledHead?: PooledHead): void {
    const copy = { ids: ids.slice(), mask: mask.slice() };
    const head = pooledHead && {
      ...pooledHead,
      projections: pooledHead.projections.map((projection) => this.#place(projection)),
    };
    if (this.#inFlight.size === 0) this.#worker.ref();
    this.#inFlight.add(id);
    this.#send({ kind: 'run', id, ...copy, rows, cols, head }, [copy.ids.buffer, copy.mask.buffer]);
  }

  /** The place of a projection among those of the thread, which gets it when it is new. */
  #place(projection: Projection): number {
    const place = this.#projections.indexOf(projection);
    if (place >= 0) return place;
    this.#send({ kind: 'project', projection: sharedProjection(projection) });
    return this.#projections.push(projection) - 1;
  }

  cancel(id: number): void {
    this.#send({ kind: 'cancel', id });
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#worker.ref();
      this.#worker.once('exit', () => resolve());
      this.#send({ kind: 'close' });
    });
    return this.#closing;
  }

  #send(request: Request, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #listen(listener: ThreadListener): void {
    let reason = 'it ended by itself';
    this.#worker.on('error', (error) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    this.#worker.once('exit', () => {
      if (this.#closing === undefined) listener.onDeath(this, reason);
    });
    this.#worker.on('message', (reply: Reply) => {
      if (reply.kind === 'ready' || reply.kind === 'unusable') return;
      this.#inFlight.delete(reply.id);
      if (this.#inFlight.size === 0 && this.#closing === undefined) this.#worker.unref();
      listener.onOutcome(this, { id: reply.id, result: reply.kind === 'cancelled' ? reply.kind : reply });
    });
  }
}

function readiness(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    const settle = (action: () => void): void => {
      worker.off('message', onMessage);
      worker.off('error', onError);
      worker.off('exit', onExit);
      action();
    };
    const onMessage = (reply: Reply): void => {
      if (reply.kind === 'ready') settle(() => resolve(reply.hiddenSize));
      else if (reply.kind === 'unusable') settle(() => reject(new Error(reply.reason)));
    };
    const onError = (error: unknown): void =>
      settle(() => reject(error instanceof Error ? error : new Error(String(error))));
    const onExit = (): void =>
      settle(() => reject(new SentvecError('backend-failed', 'A worker thread ended before its session was open.')));
    worker.on('message', onMessage);
    worker.on('error', onError);
    worker.on('exit', onExit);
  });
}
