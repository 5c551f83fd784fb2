import type { ModelFiles, TokenBatch } from '@sentvec/core';
import type { CallOptions } from '@sentvec/platform/node';
import type { EncoderSizes } from '@sentvec/architectures';

/** Where an encoder computes: a thread in Node, the page itself in a browser. */
export interface HostedEncoder extends EncoderSizes {
  /** See `ImmediateEncoder` of `@sentvec/architectures`. A batch that waits is dropped when its signal aborts; one that is computed is finished. */
  encode(batch: TokenBatch, options: CallOptions): Promise<Float32Array>;
  termWeights(batch: TokenBatch, options: CallOptions): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Opens the encoder of a model folder. @throws SentvecError `invalid-model`, `unsupported-model`, `backend-failed` */
export type OpenHost = (files: ModelFiles) => Promise<HostedEncoder>;
