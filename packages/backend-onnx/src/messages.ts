// The messages between the session pool and its worker threads. All of them can be cloned with the structured clone
// algorithm.
import type { Encoder, Head, PoolingMode, Projection, TokenBatch } from '@sentvec/core';
import { sharedProjection } from '@sentvec/core/node';

/** An ONNX model in the form that a session opens. */
export interface SessionModel {
  /** The path of the file, or its bytes in shared memory. */
  readonly model: string | SharedArrayBuffer;
  /** External data files of a model that is given as bytes. For a path, onnxruntime finds the files. */
  readonly externalData: readonly { readonly path: string; readonly data: SharedArrayBuffer }[];
}

/** The model and the settings of a session. */
export interface SessionSpecification extends SessionModel {
  /** The name of an execution provider of onnxruntime. */
  readonly device: string;
  readonly threads: number;
  /** See `LoadOptions.pairs`. */
  readonly pairs: boolean;
}

/** Properties of a model that are known when a session is open. */
export interface SessionFacts {
  readonly hiddenSize: number;
  /** See `Encoder.pooledOutput`. */
  readonly pooledOutput: Encoder['pooledOutput'];
}

/** See `ThreadProtocol` of `@sentvec/platform/node`. Batches are computed in the order of the calls. */
export interface SessionProtocol {
  readonly data: {
    /** See `run-state.ts`. */
    readonly state: Int32Array<SharedArrayBuffer>;
  };
  readonly ready: SessionFacts;
  readonly calls: {
    /** Computes the token embeddings of the batch, or the vectors of its head, row-major. */
    run(request: RunRequest): Float32Array;
    /** Computes all float outputs of the model by name. */
    outputs(batch: TokenBatch): Readonly<Record<string, Float32Array>>;
    /** Adds a head for later batches. */
    addHead(head: ThreadHead): void;
  };
  readonly programCalls: {
    /**
     * The thread asks for the specification. It is called early, so that the thread starts while the model is found.
     */
    specification(): SessionSpecification;
  };
}

/** A batch that is sent to a thread. */
export interface RunRequest extends TokenBatch {
  /** The number of the head and the pooling mask; `undefined` to return token embeddings. */
  readonly pooled: { readonly head: number; readonly mask: Int32Array } | undefined;
}

/** A head in the form for a thread. Batches refer to it by its number, in the order in which the heads were added. */
export interface ThreadHead {
  /**
   * The pooling modes. `tokens`: every token is projected without pooling. `undefined`: the ONNX file contains the
   * pooling.
   */
  readonly modes: readonly PoolingMode[] | 'tokens' | undefined;
  readonly projections: readonly Projection[];
}

/** Converts a head to the form for threads. The numbers of its projections are copied to shared memory. */
export function threadHead({ pooling, projections }: Head): ThreadHead {
  return {
    modes: pooling.perToken === true ? 'tokens' : pooling.modes,
    projections: projections.map((projection) => sharedProjection(projection)),
  };
}
