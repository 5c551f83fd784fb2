import type { ModelFiles, TokenBatch, TokenEmbeddings } from '@sentvec/core';

/** Computes a reference that takes longer than an event loop should be without its turn. */
export type ComputePlace = (files: ModelFiles, batch: TokenBatch) => Promise<TokenEmbeddings>;
