/*
 * What the main thread and a thread with an encoder say to each other. All of it survives a structured clone.
 */
import type { TokenBatch } from '@sentvec/core';
import type { EncoderSizes } from '@sentvec/architectures';

/** See `ThreadProtocol` of `@sentvec/platform/node`. */
export interface WasmProtocol {
  /** The name of the model, for messages. */
  readonly data: { readonly name: string };
  readonly ready: EncoderSizes;
  readonly calls: {
    encode(batch: TokenBatch): Float32Array;
    termWeights(batch: TokenBatch): Float32Array;
  };
  /** The files of the model. */
  readonly programCalls: {
    list(nothing: undefined): readonly string[];
    read(path: string): Uint8Array;
  };
}
