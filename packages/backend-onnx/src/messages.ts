// The messages between the pool of sessions and its threads. All of them survive a structured clone.
import type { Encoder, Head, PoolingMode, Projection, TokenBatch } from '@sentvec/core';
import { sharedProjection } from '@sentvec/core/node';

/** An ONNX model as a session opens it. */
export interface SessionModel {
  /** The path of the file, or its bytes in shared memory. */
  readonly model: string | SharedArrayBuffer;
  /** Weights in separate files, for a model given as bytes. A model given by path finds its own. */
  readonly externalData: readonly { readonly path: string; readonly data: SharedArrayBuffer }[];
}

/** What a session is opened with. */
export interface SessionSpecification extends SessionModel {
  /** The name of an execution provider of onnxruntime. */
  readonly device: string;
  readonly threads: number;
  /** See `LoadOptions.pairs`. */
  readonly pairs: boolean;
}

/** What is known of a model once a session is open. */
export interface SessionFacts {
  readonly hiddenSize: number;
  /** See `Encoder.pooledOutput`. */
  readonly pooledOutput: Encoder['pooledOutput'];
}

/** See `ThreadProtocol` of `@sentvec/platform/node`. Batches are run in the order in which they came. */
export interface SessionProtocol {
  readonly data: {
    /** See `run-state.ts`. */
    readonly state: Int32Array<SharedArrayBuffer>;
  };
  readonly ready: SessionFacts;
  readonly calls: {
    /** Token embeddings of the batch, or the vectors that the head computes from them, row-major. */
    run(request: RunRequest): Float32Array;
    /** All outputs of the model that are floats, by name. */
    outputs(batch: TokenBatch): Readonly<Record<string, Float32Array>>;
    /** Gives the thread a head, for batches that follow. */
    addHead(head: ThreadHead): void;
  };
  readonly programCalls: {
    /** What to open, once that is known: the thread starts meanwhile. */
    specification(): SessionSpecification;
  };
}

/** A batch, as the main thread sends it. */
export interface RunRequest extends TokenBatch {
  /** How to pool and project the token embeddings; `undefined` when they are themselves the result. */
  readonly pooled: { readonly head: number; readonly mask: Int32Array } | undefined;
}

/**
 * How a thread pools and projects token embeddings. A batch names it by its number, in the order in which the thread
 * got its heads.
 */
export interface ThreadHead {
  /**
   * The poolings to apply. `tokens`: projects every token, without pooling. `undefined`: the model's file pools itself.
   */
  readonly modes: readonly PoolingMode[] | 'tokens' | undefined;
  readonly projections: readonly Projection[];
}

/** A head as a thread gets it: the numbers of its projections are in shared memory. */
export function threadHead({ pooling, projections }: Head): ThreadHead {
  return {
    modes: pooling.perToken === true ? 'tokens' : pooling.modes,
    projections: projections.map((projection) => sharedProjection(projection)),
  };
}
