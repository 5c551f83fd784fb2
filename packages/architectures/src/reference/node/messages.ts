import type { SentvecError, TokenBatch, TokenEmbeddings } from '@sentvec/core';

/** What the thread is started with. */
export interface ThreadOrder {
  readonly directory: string;
  readonly name: string;
  readonly batch: TokenBatch;
}

/** Its one message. */
export type ThreadAnswer = TokenEmbeddings | { readonly error: ReturnType<SentvecError['toJSON']> };
