import type { Encoder, ModelFiles, TokenBatch } from '@sentvec/core';
import type { PlainHead } from './local-head.ts';
import type { TfjsDevice } from './options.ts';
import type { WasmPaths } from './kernels/wasm-backend.ts';

/** The sizes of an encoder. */
export interface EncoderSizes extends Pick<Encoder, 'pooledOutput'> {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly vocabularySize: number;
}

/** An encoder in its host. It computes one batch at a time. */
export interface HostedEncoder extends EncoderSizes {
  /** @throws SentvecError `backend-failed`, `invalid-model` */
  encode(batch: TokenBatch): Promise<Float32Array>;
  /** Prepares a head under a number, for `encodePooled`, which may be called before that is done. */
  addHead(number: number, head: PlainHead): Promise<void>;
  /** The final vectors. `mask` says which tokens take part in pooling. @throws SentvecError as `encode` */
  encodePooled(batch: TokenBatch, head: number, mask: Int32Array): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** TensorFlow.js on a device: in a worker thread in Node, in the page in a browser. */
export interface Host {
  readonly description: string;
  readonly gpu: boolean;
  /** @throws SentvecError `invalid-model`, `unsupported-model` */
  load(files: ModelFiles): Promise<HostedEncoder>;
  /** Frees everything, unless other encoders share the host. */
  close(): Promise<void>;
}

/** Opens a host. @throws SentvecError `backend-unavailable` with the reason */
export type OpenHost = (device: TfjsDevice, wasmPaths: WasmPaths | undefined) => Promise<Host>;
