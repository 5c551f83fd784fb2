// The encoder whose sessions are in a pool.
import type {
  EncodeOptions,
  EncodePooledOptions,
  Encoder,
  Head,
  Matrix,
  TokenBatch,
  TokenEmbeddings,
} from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import type { OnnxDevice } from './options.ts';
import type { SessionPlan } from './session-plan.ts';
import type { SessionPool } from './session-pool.ts';

/**
 * See `Encoder.roundingError`. By default, CUDA multiplies in TF32, which has a 10-bit mantissa, and CoreML and
 * DirectML use half precision where possible. WebGPU computes in float32 with approximate exponentials and square
 * roots.
 */
const roundingErrors: Readonly<Record<OnnxDevice, number | undefined>> = {
  cpu: undefined,
  webgpu: 2e-4,
  cuda: 5e-3,
  coreml: 5e-3,
  dml: 5e-3,
};

/** The encoder of a model whose sessions are in a pool. */
export class PooledEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly concurrency: number;
  readonly batchTokens: number;
  readonly pooledOutput: Encoder['pooledOutput'];
  readonly weightsFile: string | undefined;
  readonly roundingError: number | undefined;
  readonly #pool: SessionPool;

  constructor(
    pool: SessionPool,
    source: { readonly weightsFile?: string | undefined },
    plan: SessionPlan,
    { positions, device }: { readonly positions: number; readonly device: OnnxDevice },
  ) {
    const { hiddenSize, pooledOutput } = pool.facts;
    this.hiddenSize = hiddenSize;
    this.pooledOutput = pooledOutput;
    this.maxPositions = positions;
    this.concurrency = plan.sessions;
    this.batchTokens = plan.batchTokens;
    this.weightsFile = source.weightsFile;
    this.roundingError = roundingErrors[device];
    this.#pool = pool;
  }

  async encode(batch: TokenBatch, { signal }: EncodeOptions = {}): Promise<TokenEmbeddings> {
    this.#checkLength(batch);
    const data = await this.#pool.run(batch, signal);
    return { data, rows: batch.rows * batch.cols, cols: this.hiddenSize };
  }

  /** Pools and projects in the thread of the session, so that token embeddings are not copied to the calling thread. */
  async encodePooled(
    batch: TokenBatch,
    head: Head,
    { signal, poolingMask = batch.mask }: EncodePooledOptions = {},
  ): Promise<Matrix | undefined> {
    const { modes, perToken, graphOutput } = head.pooling;
    const isSupported =
      modes !== undefined ||
      perToken === true ||
      (graphOutput !== undefined && graphOutput === this.pooledOutput?.name);
    if (!isSupported || batch.rows * batch.cols === 0) return undefined;
    this.#checkLength(batch);
    const data = await this.#pool.run(batch, signal, { head, mask: poolingMask });
    const cols = perToken === true ? await vectorLength(head, this.hiddenSize) : data.length / batch.rows;
    return { data, rows: data.length / cols, cols };
  }

  #checkLength({ cols }: TokenBatch): void {
    if (cols <= this.maxPositions) return;
    const message = `A batch has ${cols} tokens per text, but the model has only ${this.maxPositions} positions. Shorten the texts.`;
    throw new SentvecError('backend-failed', message);
  }

  dispose(): Promise<void> {
    return this.#pool.dispose();
  }
}

/**
 * The length of the vectors of a head. The import is lazy, because few heads need it and loading `@sentvec/core` takes
 * long.
 */
async function vectorLength(head: Head, hiddenSize: number): Promise<number> {
  return (await import('@sentvec/core')).headOutputSize(head, hiddenSize);
}
