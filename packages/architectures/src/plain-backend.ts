// The backend `plain`, which uses the interpreter in plain TypeScript.
import {
  applyProjections,
  type Backend,
  type EncodePooledOptions,
  type Encoder,
  type Head,
  type Matrix,
  SentvecError,
  throwIfAborted,
  type TokenBatch,
  type TokenEmbeddings,
} from '@sentvec/core';
import { ImmediateEncoder } from './immediate-encoder.ts';
import { plainOperations } from './plain/operations.ts';

/**
 * The backend `plain`, which computes encoders in plain TypeScript, in float64 and on the calling thread. It has no
 * dependencies and works everywhere, but is hundreds of times slower than other backends. It is the reference in their
 * tests.
 */
export function plainBackend(): Backend {
  return {
    specificationVersion: 1,
    name: 'plain',
    isAvailable: async () => ({ available: true, device: 'JavaScript' }),
    load: async (model, options) => {
      throwIfAborted(options?.signal);
      return new PlainEncoder(await ImmediateEncoder.open(model, plainOperations));
    },
  };
}

class PlainEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly concurrency = 1;
  readonly batchTokens = 512;
  readonly pooledOutput: Encoder['pooledOutput'];
  #encoder: ImmediateEncoder | undefined;

  constructor(encoder: ImmediateEncoder) {
    const { hiddenSize, maxPositions, pooledOutput } = encoder.sizes;
    this.hiddenSize = hiddenSize;
    this.maxPositions = maxPositions;
    this.pooledOutput = pooledOutput;
    this.#encoder = encoder;
  }

  async encode(batch: TokenBatch, options?: { readonly signal?: AbortSignal | undefined }): Promise<TokenEmbeddings> {
    throwIfAborted(options?.signal);
    return { data: this.#alive().encode(batch), rows: batch.rows * batch.cols, cols: this.hiddenSize };
  }

  /** The term weights of a sparse model; `undefined` for other heads, which the caller computes. */
  async encodePooled(batch: TokenBatch, head: Head, options: EncodePooledOptions = {}): Promise<Matrix | undefined> {
    throwIfAborted(options.signal);
    const { graphOutput } = head.pooling;
    if (graphOutput === undefined || graphOutput !== this.pooledOutput?.name || batch.ids.length === 0)
      return undefined;
    const texts = { data: this.#alive().termWeights(batch), rows: batch.rows, cols: this.pooledOutput.size };
    return applyProjections(head.projections, texts);
  }

  #alive(): ImmediateEncoder {
    if (this.#encoder !== undefined) return this.#encoder;
    throw new SentvecError('disposed', 'The encoder was used after dispose(). Load the model again.');
  }

  async dispose(): Promise<void> {
    this.#encoder = undefined;
  }
}
