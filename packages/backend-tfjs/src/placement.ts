import type { LoadOptions, ModelFiles, TokenBatch } from '@sentvec/core';
import type { PlainHead } from './local-head.ts';
import type { TfjsDevice } from './options.ts';
import type { WasmPaths } from './kernels/wasm-backend.ts';

/** The sizes of an encoder. */
export interface EncoderSizes {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly vocabularySize: number;
}

/** An encoder wherever it runs: in a thread of its own in Node, in the page in a browser. One batch at a time. */
export interface PlacedEncoder extends EncoderSizes {
  /** @throws SentvecError `backend-failed`, `invalid-model` */
  encode(batch: TokenBatch): Promise<Float32Array>;
  /** Prepares a head under a number, for `encodePooled`, which need not wait for it. */
  addHead(number: number, head: PlainHead): Promise<void>;
  /** The final vectors. `mask` says which tokens take part in pooling. @throws SentvecError as `encode` */
  encodePooled(batch: TokenBatch, head: number, mask: Int32Array): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** TensorFlow.js on a device, in its place. */
export interface Place {
  readonly description: string;
  readonly gpu: boolean;
  /** @throws SentvecError `invalid-model`, `unsupported-model` */
  load(files: ModelFiles, options: Pick<LoadOptions, 'signal'>): Promise<PlacedEncoder>;
  /** Ends it, unless it is shared with others. What was loaded is gone. */
  close(): Promise<void>;
}

/** Opens a place. @throws SentvecError `backend-unavailable` with the reason */
export type OpenPlace = (device: TfjsDevice, wasmPaths: WasmPaths | undefined) => Promise<Place>;
