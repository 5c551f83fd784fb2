import { SentvecError, type EncodeOptions, type Encoder, type TokenBatch, type TokenEmbeddings } from '@sentvec/core';
import type { SessionPlan } from './session-plan.ts';
import type { SessionPool } from './session-pool.ts';

/** The encoder of a model whose sessions are in a pool. */
export class PooledEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly concurrency: number;
  readonly batchTokens: number;
  readonly weightsFile: string | undefined;
  readonly #pool: SessionPool;

  constructor(pool: SessionPool, source: { readonly weightsFile?: string }, plan: SessionPlan, maxPositions: number) {
    this.hiddenSize = pool.hiddenSize;
    this.maxPositions = maxPositions;
    this.concurrency = plan.sessions;
    this.batchTokens = plan.batchTokens;
    this.weightsFile = source.weightsFile;
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
