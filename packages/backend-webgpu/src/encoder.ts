// The encoder over a session of onnxruntime-web.
import {
  applyProjections,
  SentvecError,
  throwIfAborted,
  type EncodeOptions,
  type EncodePooledOptions,
  type Encoder,
  type Head,
  type Matrix,
  type TokenBatch,
  type TokenEmbeddings,
} from '@sentvec/core';
import type { DeviceHeads } from './head/device-head.ts';
import { numbersOf, type OutputTensor, type TokenSession } from './token-session.ts';

/** What an encoder needs besides its session. */
export interface EncoderSettings {
  readonly maxPositions: number;
  readonly batchTokens: number;
  readonly weightsFile: string | undefined;
  readonly roundingError: number | undefined;
}

/** The encoder over a session. On a GPU it pools there, too, and reads only the vectors of the texts back. */
export class WebEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  /** The page has one onnxruntime, which computes one batch at a time. */
  readonly concurrency: number = 1;
  readonly batchTokens: number;
  readonly pooledOutput: Encoder['pooledOutput'];
  readonly weightsFile: string | undefined;
  readonly roundingError: number | undefined;
  readonly #session: TokenSession;
  readonly #heads: DeviceHeads | undefined;
  #released: Promise<void> | undefined;

  /** @param heads those of the device that the session computes on; `undefined` on WebAssembly */
  constructor(
    session: TokenSession,
    heads: DeviceHeads | undefined,
    { maxPositions, batchTokens, weightsFile, roundingError }: EncoderSettings,
  ) {
    this.#heads = heads;
    this.#session = session;
    this.pooledOutput = session.pooledOutput;
    this.hiddenSize = session.hiddenSize;
    this.maxPositions = maxPositions;
    this.batchTokens = batchTokens;
    this.weightsFile = weightsFile;
    this.roundingError = roundingError;
  }

  async encode(batch: TokenBatch, { signal }: EncodeOptions = {}): Promise<TokenEmbeddings> {
    const { rows, cols } = batch;
    const size = this.hiddenSize;
    this.#check(signal);
    if (rows * cols === 0) return { data: new Float32Array(0), rows: 0, cols: size };
    const padded = this.#pad(batch);
    const data = await this.#run('tokens', padded, signal, numbersOf);
    return {
      data: padded === batch ? data : withoutPadding(data, batch, padded.cols, size),
      rows: rows * cols,
      cols: size,
    };
  }

  async encodePooled(
    batch: TokenBatch,
    head: Head,
    { signal, poolingMask = batch.mask }: EncodePooledOptions = {},
  ): Promise<Matrix | undefined> {
    this.#check(signal);
    if (batch.rows * batch.cols === 0) return undefined;
    const padded = this.#pad(batch);
    const { graphOutput } = head.pooling;
    if (graphOutput !== undefined && graphOutput === this.pooledOutput?.name) {
      const data = await this.#run('texts', padded, signal, numbersOf);
      return applyProjections(head.projections, { data, rows: batch.rows, cols: this.pooledOutput.size });
    }
    // The kernels read single precision.
    const deviceHead = this.#session.isHalfPrecision ? undefined : this.#heads?.get(head, this.hiddenSize);
    if (deviceHead === undefined) return undefined;
    const mask = padded === batch ? poolingMask : widen(poolingMask, batch, padded.cols);
    const vectors = await this.#run('tokens', padded, signal, async ({ gpuBuffer: buffer }) =>
      deviceHead.submit({ buffer, rows: padded.rows, cols: padded.cols }, mask),
    );
    return vectors();
  }

  dispose(): Promise<void> {
    this.#released ??= this.#session.release().then(() => this.#heads?.dispose());
    return this.#released;
  }

  async #run<T>(
    output: 'tokens' | 'texts',
    batch: TokenBatch,
    signal: AbortSignal | undefined,
    read: (values: OutputTensor) => Promise<T>,
  ): Promise<T> {
    if (batch.cols > this.maxPositions) {
      const message = `A batch is ${batch.cols} tokens long; the model has positions for ${this.maxPositions}. Cut the texts.`;
      throw new SentvecError('backend-failed', message);
    }
    try {
      return await this.#session.use(output, batch, () => this.#check(signal), read);
    } catch (error) {
      this.#check(signal);
      if (SentvecError.is(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new SentvecError(
        'backend-failed',
        `onnxruntime-web failed on ${batch.rows} × ${batch.cols} tokens: ${reason}`,
        {},
        { cause: error },
      );
    }
  }

  #pad(batch: TokenBatch): TokenBatch {
    return this.#heads === undefined ? batch : padForDevice(batch, this.maxPositions);
  }

  #check(signal: AbortSignal | undefined): void {
    if (this.#released !== undefined) throw new SentvecError('disposed', 'The encoder was used after dispose().');
    throwIfAborted(signal);
  }
}

/** The embeddings of the first `batch.cols` of each text's `length` positions. */
function withoutPadding(data: Float32Array, { rows, cols }: TokenBatch, length: number, size: number): Float32Array {
  const result = new Float32Array(rows * cols * size);
  for (let row = 0; row < rows; row += 1) {
    const start = row * length * size;
    result.set(data.subarray(start, start + cols * size), row * cols * size);
  }
  return result;
}

/**
 * Kernels on a GPU read four numbers at a time. Some compute attention wrongly for a length that is not a multiple of
 * four.
 */
const lengthStep = 4;

/**
 * The batch, padded to a length that suits the GPU, as far as the model has positions; the batch itself where it fits already.
 */
function padForDevice(batch: TokenBatch, maxPositions: number): TokenBatch {
  const { rows, cols } = batch;
  const length = Math.max(cols, Math.min(Math.ceil(cols / lengthStep) * lengthStep, maxPositions));
  if (length === cols) return batch;
  const { ids, mask, typeIds } = batch;
  return {
    rows,
    cols: length,
    ids: widen(ids, batch, length),
    mask: widen(mask, batch, length),
    typeIds: typeIds && widen(typeIds, batch, length),
  };
}

/** A number for each token, followed by zeros up to the new length of each text. */
function widen(values: Int32Array, { rows, cols }: TokenBatch, length: number): Int32Array {
  const result = new Int32Array(rows * length);
  for (let row = 0; row < rows; row += 1) result.set(values.subarray(row * cols, (row + 1) * cols), row * length);
  return result;
}
