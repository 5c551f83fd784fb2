import { SentvecError } from '../errors.ts';
import type { Encoder } from '../backend.ts';
import type { Head, Matrix, TokenBatch, TokenEmbeddings, TokenizedText } from '../types.ts';
import { maskForPooling, padBatch, pooledTokens } from './batching.ts';
import { applyHead } from '../projection/head.ts';

/** The texts of one batch, and how to encode and pool them. */
export interface BatchJob {
  /** Longest first. */
  readonly texts: readonly TokenizedText[];
  /** Number of tokens to which the texts are padded. */
  readonly columns: number;
  readonly paddingId: number;
  readonly head: Head;
  /** Leading tokens that pooling leaves out. */
  readonly unpooledTokens: number;
  readonly signal: AbortSignal;
}

/** The vectors of a batch. The head is applied by the backend if it supports that (`encodePooled`), otherwise here. */
export async function encodeBatch(encoder: Encoder, job: BatchJob): Promise<Matrix> {
  const batch = padBatch(job.texts, job.paddingId, job.columns);
  const mask = job.unpooledTokens === 0 ? pooledTokens(job.texts, batch) : maskForPooling(batch, job.unpooledTokens);
  const options = { signal: job.signal };
  const pooled = await encoder.encodePooled?.(batch, job.head, mask ? { ...options, poolingMask: mask } : options);
  if (pooled) return pooled;
  const tokens = await encodeTokens(encoder, batch, job.signal);
  return applyHead(job.head, tokens, mask ? { ...batch, mask } : batch);
}

/**
 * The token embeddings of a batch. @throws SentvecError `backend-failed` when the encoder returns a wrong number of
 * rows
 */
export async function encodeTokens(encoder: Encoder, batch: TokenBatch, signal: AbortSignal): Promise<TokenEmbeddings> {
  const tokens = await encoder.encode(batch, { signal });
  if (tokens.rows === batch.rows * batch.cols && tokens.data.length === tokens.rows * tokens.cols) return tokens;
  throw new SentvecError(
    'backend-failed',
    `The encoder gave ${tokens.rows} × ${tokens.cols} numbers for a batch of ${batch.rows} × ${batch.cols} tokens; it must give a row for each token.`,
  );
}

/** Whether all entries are finite numbers. */
export function isFinite(vector: Float32Array): boolean {
  for (let index = 0; index < vector.length; index += 1) if (!Number.isFinite(vector[index])) return false;
  return true;
}
