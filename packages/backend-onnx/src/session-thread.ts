/* The main thread's side of a worker thread with a session. */
import type { Head, TokenBatch } from '@sentvec/core';
import { copyBatch } from '@sentvec/core/node';
import { SentvecError } from '@sentvec/platform';
import { startThread, type Thread } from '@sentvec/platform/node';
import { threadHead, type SessionFacts, type SessionProtocol, type SessionSpecification } from './messages.ts';
import { createRunState, forget, waitAtExit } from './run-state.ts';

/** The outcome of a batch that was sent to a thread. */
export interface Outcome {
  readonly id: number;
  /** The token embeddings or the vectors of the head, the reason of an error, or `cancelled`. */
  readonly result: { readonly data: Float32Array } | { readonly reason: string } | 'cancelled';
}

/** The interface of a thread with a session for the pool. */
export interface SessionThread extends SessionFacts {
  /** The ids of batches that were sent and are not done, oldest first. The oldest is being computed. */
  readonly inFlight: ReadonlySet<number>;
  /** Sends a batch, and optionally the head for it. The arrays are copied, so the caller may change them afterwards. */
  run(id: number, batch: TokenBatch, pooled?: PooledHead): void;
  /** Cancels a batch. The outcome is `cancelled` if the thread has not started it; otherwise it is not affected. */
  cancel(id: number): void;
  /** Releases the session and ends the thread after its current batch. May be called more than once. */
  close(): Promise<void>;
}

/** A thread that also returns other outputs of its model. */
export interface GraphThread extends SessionThread {
  /** Computes all float outputs of the model by name. */
  outputs(batch: TokenBatch): Promise<Readonly<Record<string, Float32Array>>>;
}

/** A head and the pooling mask of a batch. */
export interface PooledHead {
  /** The head, whose pooling is a built-in one or an output of the model. */
  readonly head: Head;
  /** 1 for tokens that are pooled, otherwise 0. */
  readonly mask: Int32Array;
}

/** Callbacks for the outcomes and the crash of a thread. */
export interface ThreadListener {
  onOutcome(thread: SessionThread, outcome: Outcome): void;
  /** Called when the thread ends unexpectedly. */
  onDeath(thread: SessionThread, reason: string): void;
}

const sessionWorker = {
  file: './session-worker.js',
  entry: '@sentvec/backend-onnx/session-worker',
  from: import.meta.url,
};

/**
 * Starts a worker thread and opens its session.
 * @param specification the model and settings, or a promise of them, so that the thread can start early. If the promise
 * rejects, so does this function
 * @throws Error with the reason of onnxruntime if the session cannot be opened
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
    // The thread allocates little. Without this limit V8 would let its garbage grow to 48 MB before a collection.
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
    onEnd: (reason) => {
      forget(state);
      session?.onEnd(reason);
    },
  });
  session = new WorkerSessionThread(thread, listener);
  return session;
}

/** A thread that starts before its model is known. */
export interface EarlyThread {
  /** Like {@link startSessionThread}; `undefined` if a session has already been opened. */
  open(specification: SessionSpecification, listener: ThreadListener): Promise<GraphThread> | undefined;
  /** Ends the thread. It does nothing after `open`. */
  discard(): Promise<void>;
}

/** Starts a thread that opens a model later, because starting a thread takes as long as finding the model. */
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
  /** The numbers of the heads that the thread has. */
  readonly #heads = new Map<Head, number>();
  #ended = false;

  constructor(thread: Thread<SessionProtocol>, listener: ThreadListener) {
    this.#thread = thread;
    this.#listener = listener;
    this.hiddenSize = thread.ready.hiddenSize;
    this.pooledOutput = thread.ready.pooledOutput;
  }

  run(id: number, batch: TokenBatch, pooledHead?: PooledHead): void {
    const pooled = pooledHead && { head: this.#headNumber(pooledHead.head), mask: pooledHead.mask };
    const controller = new AbortController();
    this.inFlight.add(id);
    this.#controllers.set(id, controller);
    const request = { ...copyBatch(batch), pooled };
    void this.#report(id, this.#thread.call('run', request, { signal: controller.signal }));
  }

  outputs(batch: TokenBatch): Promise<Readonly<Record<string, Float32Array>>> {
    return this.#thread.call('outputs', batch);
  }

  /** The number of a head in the thread. A new head is sent to the thread. */
  #headNumber(head: Head): number {
    const known = this.#heads.get(head);
    if (known !== undefined) return known;
    const number = this.#heads.size;
    this.#heads.set(head, number);
    // If the thread has ended, the call for the batch also fails, and that error is reported.
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

  /** Called when the thread has ended. */
  onEnd(reason: SentvecError): void {
    this.#ended = true;
    if (reason.code !== 'disposed') this.#listener.onDeath(this, reason.message);
  }
}
