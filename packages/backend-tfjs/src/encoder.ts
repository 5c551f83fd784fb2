// The encoder of a model in TensorFlow.js, and the batches that wait for it.
import {
  headOutputSize,
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
import type { Host, HostedEncoder } from './host.ts';

/** A head that the host has got. */
interface HostedHead {
  readonly number: number;
  readonly added: Promise<void>;
}

interface Job {
  readonly compute: () => Promise<Float32Array>;
  settle(result: Float32Array | Error): void;
}

/** Batches that the host has at once: the one that it computes, and the next, for which it need not wait. */
const depth = 2;

/** TensorFlow multiplies with the 10 bits of TF32 on GPUs that can. */
const gpuError = 5e-3;

/** An encoder that TensorFlow.js executes in its host. */
export class TfjsEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly vocabularySize: number;
  readonly concurrency = 1;
  readonly batchTokens: number;
  readonly pooledOutput: Encoder['pooledOutput'];
  readonly roundingError: number | undefined;
  readonly #host: Host;
  readonly #encoder: HostedEncoder;
  readonly #waiting: Job[] = [];
  readonly #running = new Set<Job>();
  readonly #heads = new WeakMap<Head, HostedHead>();
  #lastHead = 0;
  #disposal: Promise<void> | undefined;

  constructor(host: Host, encoder: HostedEncoder, batchTokens: number) {
    this.hiddenSize = encoder.hiddenSize;
    this.maxPositions = encoder.maxPositions;
    this.vocabularySize = encoder.vocabularySize;
    this.batchTokens = batchTokens;
    this.pooledOutput = encoder.pooledOutput;
    this.roundingError = host.gpu ? gpuError : undefined;
    this.#host = host;
    this.#encoder = encoder;
  }

  async encode(batch: TokenBatch, { signal }: EncodeOptions = {}): Promise<TokenEmbeddings> {
    const data = await this.#run(() => this.#encoder.encode(batch), signal);
    return { data, rows: batch.rows * batch.cols, cols: this.hiddenSize };
  }

  /** Pools and projects in the host, which sends only the vectors of the texts back. */
  async encodePooled(
    batch: TokenBatch,
    head: Head,
    { signal, poolingMask = batch.mask }: EncodePooledOptions = {},
  ): Promise<Matrix | undefined> {
    const { perToken, graphOutput } = head.pooling;
    const modes = perToken === true ? 'tokens' : head.pooling.modes;
    const isKnown = modes !== undefined || (graphOutput !== undefined && graphOutput === this.pooledOutput?.name);
    if (!isKnown || batch.rows * batch.cols === 0) return undefined;
    const { number, added } = this.#heads.get(head) ?? this.#addHead(head, { modes, projections: head.projections });
    const compute = async () => (await Promise.all([this.#encoder.encodePooled(batch, number, poolingMask), added]))[0];
    const data = await this.#run(compute, signal);
    const cols = perToken === true ? headOutputSize(head, this.hiddenSize) : data.length / batch.rows;
    return { data, rows: data.length / cols, cols };
  }

  #addHead(head: Head, plain: PlainHead): HostedHead {
    this.#lastHead += 1;
    const hosted = { number: this.#lastHead, added: this.#encoder.addHead(this.#lastHead, plain) };
    hosted.added.catch(() => {}); // Each batch that needs the head reports the failure.
    this.#heads.set(head, hosted);
    return hosted;
  }

  /** Frees the weights. Batches that are not done fail with `disposed`. */
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
    await this.#encoder.dispose();
    await this.#host.close();
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
