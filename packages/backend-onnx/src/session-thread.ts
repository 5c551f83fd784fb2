/*
 * The pool's end of a thread with a session in it.
 */
import type { Head, TokenBatch } from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import { startThread, type Thread } from '@sentvec/platform/node';
import { threadHead, type SessionFacts, type SessionProtocol, type SessionSpecification } from './messages.ts';
import { createRunState, forget, waitAtExit } from './run-state.ts';

/** The outcome of a batch that was sent to a thread. */
export interface Outcome {
  readonly id: number;
  /** The token embeddings, or the vectors that the head made of them; or why there are none. */
  readonly result: { readonly data: Float32Array } | { readonly reason: string } | 'cancelled';
}

/** A thread with a session, as the pool sees it. */
export interface SessionThread extends SessionFacts {
  /** Batches that were sent and have not come back, oldest first: the oldest is being computed. */
  readonly inFlight: ReadonlySet<number>;
  /** Sends a batch, and the head that the thread applies to it. The arrays are copied: they stay the caller's. */
  run(id: number, batch: TokenBatch, pooled?: PooledHead): void;
  /**
   * Cancels a batch. The outcome is `cancelled` when the thread has not started it, otherwise as if it had not been
   * cancelled.
   */
  cancel(id: number): void;
  /** Releases the session and ends the thread, after the batch that it is computing. May be called again. */
  close(): Promise<void>;
}

/** A thread whose model gives more than token embeddings. */
export interface GraphThread extends SessionThread {
  /** All outputs of the model that are floats, by name. */
  outputs(batch: TokenBatch): Promise<Readonly<Record<string, Float32Array>>>;
}

/** A head for a thread to apply, and the mask of a batch. */
export interface PooledHead {
  /** Its pooling is a built-in one, or the model's own output. */
  readonly head: Head;
  /** Which tokens take part in pooling. */
  readonly mask: Int32Array;
}

/** Callbacks for the outcomes of a thread. */
export interface ThreadListener {
  onOutcome(thread: SessionThread, outcome: Outcome): void;
  /** The thread ended without being asked to. */
  onDeath(thread: SessionThread, reason: string): void;
}

const sessionWorker = {
  file: './session-worker.js',
  entry: '@sentvec/backend-onnx/session-worker',
  from: import.meta.url,
};

/**
 * Starts a worker thread and opens its session.
 * @param specification what to open, or a promise of it: the thread starts meanwhile. When it fails, so does this
 * @throws Error with onnxruntime's reason when the session cannot be opened
 */
export async function startSessionThread(
  specification: SessionSpecification | Promise<SessionSpecification>,
  listener: ThreadListener,
): Promise<GraphThread> {
  const state = createRunState();
  waitAtExit(state);
  let session: WorkerSessionThread | undefined;
  const thread = await startThread<SessionProtocol>(sessionWorker, {
    name: 'onnxruntime session',
    data: { state },
    handlers: { specification: () => specification },
    // It makes little garbage, which V8 would let grow to 48 MB before it collects any.
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
    onEnd: (reason) => {
      forget(state);
      session?.onEnd(reason);
    },
  });
  session = new WorkerSessionThread(thread, listener);
  return session;
}

/** A thread that starts before the model to open is known. */
export interface EarlyThread {
  /** As {@link startSessionThread}; `undefined` when it has been opened before. */
  open(specification: SessionSpecification, listener: ThreadListener): Promise<GraphThread> | undefined;
  /** Ends it; after `open` it does nothing. */
  discard(): Promise<void>;
}

/** Starts a thread for a session, which opens a model later: starting takes as long as finding the model. */
export function startEarlyThread(): EarlyThread {
  let settle: [(specification: SessionSpecification) => void, (error: Error) => void] | undefined;
  const specification = new Promise<SessionSpecification>((resolve, reject) => {
    settle = [resolve, reject];
  });
  specification.catch(() => {});
  let listener: ThreadListener | undefined;
  const thread = startSessionThread(specification, {
    onOutcome: (...outcome) => listener?.onOutcome(...outcome),
    onDeath: (...death) => listener?.onDeath(...death),
  });
  thread.catch(() => {});
  const [give, refuse] = settle!;
  return {
    open: (given, hearing) => {
      if (listener !== undefined) return undefined;
      listener = hearing;
      give(given);
      return thread;
    },
    discard: async () => {
      if (listener !== undefined) return;
      refuse(new Error('The model was not found.'));
      await thread.catch(() => {});
    },
  };
}

class WorkerSessionThread implements GraphThread {
  readonly hiddenSize: number;
  readonly pooledOutput: SessionFacts['pooledOutput'];
  readonly inFlight: Set<number> = new Set();
  readonly #thread: Thread<SessionProtocol>;
  readonly #listener: ThreadListener;
  readonly #controllers = new Map<number, AbortController>();
  /** The number of each head that the thread has got. */
  readonly #heads = new Map<Head, number>();
  #ended = false;

  constructor(thread: Thread<SessionProtocol>, listener: ThreadListener) {
    this.#thread = thread;
    this.#listener = listener;
    this.hiddenSize = thread.ready.hiddenSize;
    this.pooledOutput = thread.ready.pooledOutput;
  }

  run(id: number, { ids, mask, typeIds, rows, cols }: TokenBatch, pooledHead?: PooledHead): void {
    const pooled = pooledHead && { head: this.#numberOf(pooledHead.head), mask: pooledHead.mask };
    const controller = new AbortController();
    this.inFlight.add(id);
    this.#controllers.set(id, controller);
    // Slices: of a part of a larger array, all of it would be cloned.
    const request = { ids: ids.slice(), mask: mask.slice(), typeIds: typeIds?.slice(), rows, cols, pooled };
    void this.#report(id, this.#thread.call('run', request, { signal: controller.signal }));
  }

  outputs(batch: TokenBatch): Promise<Readonly<Record<string, Float32Array>>> {
    return this.#thread.call('outputs', batch);
  }

  /** The number of a head in the thread, which gets it when it is new. */
  #numberOf(head: Head): number {
    const known = this.#heads.get(head);
    if (known !== undefined) return known;
    const number = this.#heads.size;
    this.#heads.set(head, number);
    // When the thread has ended, the call for the batch fails as well, and that failure is reported.
    this.#thread.call('addHead', threadHead(head)).catch(() => {});
    return number;
  }

  async #report(id: number, vectors: Promise<Float32Array>): Promise<void> {
    const result = await vectors.then(
      (data) => ({ data }),
      (error: Error) => (SentvecError.is(error, 'aborted') ? 'cancelled' : { reason: error.message }),
    );
    if (this.#ended) return; // `onDeath` has reported the batches that were in flight.
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
