import { SentvecError, type EncodeOptions, type Encoder, type TokenBatch, type TokenEmbeddings } from '@sentvec/core';
import type { OnnxDevice } from './options.ts';
import type { SessionPlan } from './session-plan.ts';
import type { SessionPool } from './session-pool.ts';

/** CUDA multiplies with the 10 bits of TF32 unless told otherwise, CoreML and DirectML with half precision where they can. */
const acceleratorError = 5e-3;

/** The encoder of a model whose sessions are in a pool. */
export class PooledEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly concurrency: number;
  readonly batchTokens: number;
  readonly weightsFile: string | undefined;
  readonly roundingError: number | undefined;
  readonly #pool: SessionPool;

  constructor(
    pool: SessionPool,
    source: { readonly weightsFile?: string },
    plan: SessionPlan,
    { positions, device }: { readonly positions: number; readonly device: OnnxDevice },
  ) {
    this.hiddenSize = pool.hiddenSize;
    this.maxPositions = positions;
    this.concurrency = plan.sessions;
    this.batchTokens = plan.batchTokens;
    this.weightsFile = source.weightsFile;
    this.roundingError = device === 'cpu' ? undefined : acceleratorError;
    this.#pool = pool;
  }

  async encode(batch: TokenBatch, { signal }: EncodeOptions = {}): Promise<TokenEmbeddings> {
    const { rows, cols } = batch;
    if (cols > this.maxPositions) {
      throw new SentvecError(
        'backend-failed',
        `A batch is ${cols} tokens long; the model has positions for ${this.maxPositions}. Cut the texts.`,
      );
    }
    const data = await this.#pool.run(batch, signal);
    return { data, rows: rows * cols, cols: this.hiddenSize };
  }

  dispose(): Promise<void> {
    return this.#pool.dispose();
  }
}
