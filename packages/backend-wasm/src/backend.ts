// The backend `wasm`.
import { plainReference } from '@sentvec/architectures';
import {
  applyProjections,
  type Availability,
  type Backend,
  type EncodeOptions,
  type Encoder,
  type Head,
  type Matrix,
  SentvecError,
  throwIfAborted,
  type TokenBatch,
  type TokenEmbeddings,
} from '@sentvec/core';
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { openHost } from '#host';
import type { HostedEncoder } from './host.ts';
import { wasmOperations } from './operations.ts';

/** Options of {@link wasm}. */
export interface WasmOptions {
  /**
   * Tokens (rows × longest) of a batch that the pipeline should aim at.
   * @default 512
   */
  readonly batchTokens?: number | undefined;
}

const optionNames: OptionNames<WasmOptions> = { batchTokens: true };

/**
 * The backend that runs encoders on WebAssembly kernels of sentvec's own, on one thread: for machines without a native
 * runtime, and for small installations. In Node it computes in a worker thread, in a browser in the page.
 * @throws SentvecError `invalid-argument` when an option cannot be used
 */
export function wasm(options: WasmOptions = {}): Backend {
  checkOptionNames('wasm()', options, optionNames);
  const { batchTokens = 512 } = options;
  checkCount(batchTokens, 'wasm({ batchTokens })');
  return {
    specificationVersion: 1,
    name: 'wasm',
    isAvailable: async () => availability(),
    load: async (files, { signal } = {}) => {
      throwIfAborted(signal);
      const encoder = new WasmEncoder(await openHost(files), batchTokens);
      if (signal?.aborted) await encoder.dispose();
      throwIfAborted(signal);
      return encoder;
    },
    reference: async (files, batch) => plainReference(files, batch),
  };
}

function availability(): Availability {
  try {
    wasmOperations();
    return { available: true, device: 'WebAssembly' };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { available: false, reason: `${reason} Take a backend that needs no WebAssembly, such as onnx().` };
  }
}

class WasmEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly vocabularySize: number | undefined;
  readonly pooledOutput: Encoder['pooledOutput'];
  readonly concurrency = 1;
  readonly batchTokens: number;
  readonly #host: HostedEncoder;
  #disposal: Promise<void> | undefined;

  constructor(host: HostedEncoder, batchTokens: number) {
    this.hiddenSize = host.hiddenSize;
    this.maxPositions = host.maxPositions;
    this.vocabularySize = host.vocabularySize;
    this.pooledOutput = host.pooledOutput;
    this.batchTokens = batchTokens;
    this.#host = host;
  }

  async encode(batch: TokenBatch, options: EncodeOptions = {}): Promise<TokenEmbeddings> {
    const data = await this.#run(() => this.#host.encode(batch, options), options);
    return { data, rows: batch.rows * batch.cols, cols: this.hiddenSize };
  }

  /** The weights of terms, of a sparse model; any other head is left to the caller. */
  async encodePooled(batch: TokenBatch, head: Head, options: EncodeOptions = {}): Promise<Matrix | undefined> {
    const { graphOutput } = head.pooling;
    if (graphOutput === undefined || graphOutput !== this.pooledOutput?.name || batch.ids.length === 0)
      return undefined;
    const data = await this.#run(() => this.#host.termWeights(batch, options), options);
    return applyProjections(head.projections, { data, rows: batch.rows, cols: this.pooledOutput.size });
  }

  /** Ends the thread. Batches that are not done fail with `disposed`. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#host.close();
    return this.#disposal;
  }

  async #run(compute: () => Promise<Float32Array>, { signal }: EncodeOptions): Promise<Float32Array> {
    throwIfAborted(signal);
    if (this.#disposal !== undefined)
      throw new SentvecError('disposed', 'The encoder was disposed of. Load the model again.');
    try {
      return await compute();
    } catch (error) {
      if (SentvecError.is(error)) throw error;
      const message = `The WebAssembly backend failed on a batch: ${error instanceof Error ? error.message : String(error)}`;
      throw new SentvecError('backend-failed', message, {}, { cause: error });
    }
  }
}
