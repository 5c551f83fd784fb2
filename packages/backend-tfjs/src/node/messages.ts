import type { SentvecError, TokenBatch } from '@sentvec/core';
import type { PlainHead } from '../local-head.ts';
import type { WasmPaths } from '../kernels/wasm-backend.ts';
import type { TfjsDevice } from '../options.ts';

/** What the main thread and a thread with TensorFlow.js say to each other. All of it survives a structured clone. */

/** What a thread is started with. */
export interface ThreadStart {
  readonly device: TfjsDevice;
  readonly wasmPaths: WasmPaths | undefined;
}

/** What the thread is asked to do. `model` is a number that the main thread gives to each model. */
export type Task =
  | { readonly kind: 'load'; readonly model: number; readonly name: string }
  | { readonly kind: 'encode'; readonly model: number; readonly batch: TokenBatch }
  | { readonly kind: 'head'; readonly model: number; readonly number: number; readonly head: PlainHead }
  | {
      readonly kind: 'pooled';
      readonly model: number;
      readonly batch: TokenBatch;
      readonly head: number;
      readonly mask: Int32Array;
    }
  | { readonly kind: 'release'; readonly model: number }
  | { readonly kind: 'close' };

export type PlainError = ReturnType<SentvecError['toJSON']>;

/** To the thread: a task, or a file of a model that it asked for. */
export type Request =
  | { readonly kind: 'task'; readonly id: number; readonly task: Task }
  | { readonly kind: 'file'; readonly id: number; readonly content: Uint8Array | readonly string[] }
  | { readonly kind: 'no-file'; readonly id: number; readonly error: PlainError };

/** From the thread. `wanted`: a file of a model, or without `path` the list of its files. */
export type Reply =
  | { readonly kind: 'ready'; readonly description: string; readonly gpu: boolean }
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'done'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'wanted'; readonly id: number; readonly model: number; readonly path: string | undefined };
