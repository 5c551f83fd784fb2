import {
  type EncodeOptions,
  type EncodePooledOptions,
  type Encoder,
  type Head,
  type Matrix,
  SentvecError,
  type TokenBatch,
  type TokenEmbeddings,
} from '@sentvec/core';
import { abortError, onAbort, throwIfAborted } from '@sentvec/platform';
import type { PlainHead } from './local-head.ts';
import type { Place, PlacedEncoder } from './placement.ts';

/** A head that was sent to where the encoder runs. */
interface PlacedHead {
  readonly number: number;
  readonly added: Promise<void>;
}

interface Job {
  readonly compute: () => Promise<Float32Array>;
  settle(result: Float32Array | Error): void;
}

/** Batches in the place at once: the one that is computed, and the next, so that it need not wait for this thread. */
const depth = 2;

/** TensorFlow multiplies with the 10 bits of TF32 on GPUs that can. */
const gpuError = 5e-3;

/** The encoder of a model that TensorFlow.js executes in its place, and the batches that wait for it. */
export class TfjsEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly vocabularySize: number;
  readonly concurrency = 1;
  readonly batchTokens: number;
  readonly roundingError: number | undefined;
  readonly #place: Place;
  readonly #placed: PlacedEncoder;
  readonly #waiting: Job[] = [];
  readonly #running = new Set<Job>();
  readonly #heads = new WeakMap<Head, PlacedHead>();
  #lastHead = 0;
  #disposal: Promise<void> | undefined;

  constructor(place: Place, placed: PlacedEncoder, batchTokens: number) {
    this.hiddenSize = placed.hiddenSize;
    this.maxPositions = placed.maxPositions;
    this.vocabularySize = placed.vocabularySize;
    this.batchTokens = batchTokens;
    this.roundingError = place.gpu ? gpuError : undefined;
    this.#place = place;
    this.#placed = placed;
  }

  async encode(batch: TokenBatch, { signal }: EncodeOptions = {}): Promise<TokenEmbeddings> {
    const data = await this.#run(() => this.#placed.encode(batch), signal);
    return { data, rows: batch.rows * batch.cols, cols: this.hiddenSize };
  }

  /** Pools and projects where the encoder runs, so that only the vectors of texts come back. */
  async encodePooled(
    batch: TokenBatch,
    head: Head,
    { signal, poolingMask = batch.mask }: EncodePooledOptions = {},
  ): Promise<Matrix | undefined> {
    const { modes } = head.pooling;
    if (modes === undefined || batch.rows * batch.cols === 0) return undefined;
    const { number, added } = this.#heads.get(head) ?? this.#addHead(head, { modes, projections: head.projections });
    const compute = async () => (await Promise.all([this.#placed.encodePooled(batch, number, poolingMask), added]))[0];
    const data = await this.#run(compute, signal);
    return { data, rows: batch.rows, cols: data.length / batch.rows };
  }

  #addHead(head: Head, plain: PlainHead): PlacedHead {
    this.#lastHead += 1;
    const placed = { number: this.#lastHead, added: this.#placed.addHead(this.#lastHead, plain) };
    placed.added.catch(() => {}); // Each batch that needs it tells.
    this.#heads.set(head, placed);
    return placed;
  }

  /** Frees the weights. What waits fails with `disposed`. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#end();
    return this.#disposal;
  }

  async #run(compute: () => Promise<Float32Array>, signal: AbortSignal | undefined): Promise<Float32Array> {
    throwIfAborted(signal);
    if (this.#disposal !== undefined) throw disposed();
    return new Promise((resolve, reject) => {
      const stopListening = onAbort(signal, () => {
        const index = this.#waiting.indexOf(job);
        if (index >= 0) this.#waiting.splice(index, 1);
        job.settle(abortError(signal!));
      });
      const settle = (result: Float32Array | Error): void => {
        stopListening();
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      const job: Job = { compute, settle };
      this.#waiting.push(job);
      this.#dispatch();
    });
  }

  #dispatch(): void {
    while (this.#running.size < depth && this.#disposal === undefined) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#running.add(job);
      void this.#perform(job);
    }
  }

  async #perform(job: Job): Promise<void> {
    const result = await job.compute().catch((error: unknown) => asError(error));
    this.#running.delete(job);
    job.settle(result);
    this.#dispatch();
  }

  async #end(): Promise<void> {
    for (const job of [...this.#running, ...this.#waiting.splice(0)]) job.settle(disposed());
    await this.#placed.dispose();
    await this.#place.close();
  }
}

function disposed(): SentvecError {
  return new SentvecError('disposed', 'The encoder was disposed of. Load the model again.');
}

function asError(error: unknown): SentvecError {
  if (SentvecError.is(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SentvecError('backend-failed', `TensorFlow.js failed on a batch: ${message}`, {}, { cause: error });
}
