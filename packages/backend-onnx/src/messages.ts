import type { PoolingMode, Projection } from '@sentvec/core';

/** What the threads of the session pool say to each other. All of it survives a structured clone. */

/** An ONNX model as a session opens it. */
export interface SessionModel {
  /** The path of the file, or its bytes in shared memory. */
  readonly model: string | SharedArrayBuffer;
  /** Weights that lie beside a model given as bytes. A model given by path finds its own. */
  readonly externalData: readonly { readonly path: string; readonly data: SharedArrayBuffer }[];
}

/** What a session is to be. */
export interface SessionSpecification extends SessionModel {
  /** The name of an execution provider of onnxruntime. */
  readonly device: string;
  readonly threads: number;
}

/** What a worker thread is started with. */
export interface WorkerStart extends SessionSpecification {
  /** See {@link runState}. */
  readonly state: Int32Array<SharedArrayBuffer>;
}

/** A batch, as the main thread sends it. */
export interface RunRequest {
  readonly kind: 'run';
  readonly id: number;
  readonly ids: Int32Array;
  readonly mask: Int32Array;
  readonly rows: number;
  readonly cols: number;
  /** What to make of the token embeddings; nothing, when they are the result themselves. */
  readonly head: ThreadHead | undefined;
}

/** A head as it goes to a thread with each batch: its projections went before, once each, as `project` requests. */
export interface ThreadHead {
  readonly modes: readonly PoolingMode[];
  /** Which tokens take part in pooling. */
  readonly mask: Int32Array;
  /** Places in the order in which the thread got projections. */
  readonly projections: readonly number[];
}

export type Request =
  | RunRequest
  | { readonly kind: 'project'; readonly projection: Projection }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'close' };

export type Reply =
  | { readonly kind: 'ready'; readonly hiddenSize: number }
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'result'; readonly id: number; readonly data: Float32Array }
  | { readonly kind: 'cancelled'; readonly id: number }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };
