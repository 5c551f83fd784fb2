/*
 * What the main thread and a thread with TensorFlow.js say to each other. All of it survives a structured clone.
 */
import type { TokenBatch } from '@sentvec/core';
import type { WasmPaths } from './kernels/wasm-backend.ts';
import type { PlainHead } from './local-head.ts';
import type { TfjsDevice } from './options.ts';
import type { EncoderSizes } from './host.ts';

/** See `ThreadProtocol` of `@sentvec/platform/node`. `model` is a number that the main thread gives to each model. */
export interface TensorFlowProtocol {
  readonly data: { readonly device: TfjsDevice; readonly wasmPaths: WasmPaths | undefined };
  readonly ready: { readonly description: string; readonly gpu: boolean };
  readonly calls: {
    load(request: { readonly model: number; readonly name: string }): EncoderSizes;
    encode(request: { readonly model: number; readonly batch: TokenBatch }): Float32Array;
    addHead(request: { readonly model: number; readonly number: number; readonly head: PlainHead }): void;
    encodePooled(request: {
      readonly model: number;
      readonly batch: TokenBatch;
      readonly head: number;
      readonly mask: Int32Array;
    }): Float32Array;
    release(model: number): void;
  };
  /** The files of a model that is being loaded. */
  readonly programCalls: {
    list(model: number): readonly string[];
    read(request: { readonly model: number; readonly path: string }): Uint8Array;
  };
}
