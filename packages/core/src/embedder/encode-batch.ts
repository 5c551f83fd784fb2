import { SentvecError } from '../errors.ts';
import type { Encoder, Head, Matrix, TokenBatch, TokenizedText } from '../types.ts';
import { applyHead } from './head.ts';

/** Texts of one batch and what to make of them. */
export interface BatchJob {
  /** Longest first. */
  readonly texts: readonly TokenizedText[];
  readonly paddingId: number;
  readonly head: Head;
  /** Leading tokens that pooling leaves out. */
  readonly unpooledTokens: number;
  readonly signal: AbortSignal;
}

/** Vectors of a batch: on the backend's device when it offers that for this head, else pooled here. */
export async function encodeBatch(encoder: Encoder, job: BatchJob): Promise<Matrix> {
  const batch = padBatch(job.texts, job.paddingId);
  const poolingMask = job.unpooledTokens === 0 ? undefined : withoutPrompt(batch, job.unpooledTokens);
  const options = { signal: job.signal };
  const pooled = await encoder.encodePooled?.(batch, job.head, poolingMask ? { ...options, poolingMask } : options);
  if (pooled) return pooled;
  const tokens = await encoder.encode(batch, options);
  if (tokens.rows !== batch.rows * batch.cols || tokens.data.length !== tokens.rows * tokens.cols) {
    throw new SentvecError(
      'backend-failed',
      `The encoder gave ${tokens.rows} × ${tokens.cols} numbers for a batch of ${batch.rows} × ${batch.cols} tokens; it must give a row for each token.`,
    );
  }
  return applyHead(job.head, tokens, poolingMask ? { ...batch, mask: poolingMask } : batch);
}

/** Number of the first row with an infinite number or none in it; -1 when all are finite. */
export function firstBrokenRow(vectors: Matrix): number {
  const { data, cols } = vectors;
  for (let index = 0; index < data.length; index += 1) {
    if (!Number.isFinite(data[index])) return Math.floor(index / cols);
  }
  return -1;
}

/** Pads on the right to the length of the first text. */
function padBatch(texts: readonly TokenizedText[], paddingId: number): TokenBatch {
  const rows = texts.length;
  const cols = texts[0]?.ids.length ?? 0;
  const ids = new Int32Array(rows * cols).fill(paddingId);
  const mask = new Int32Array(rows * cols);
  for (const [row, text] of texts.entries()) {
    ids.set(text.ids, row * cols);
    mask.fill(1, row * cols, row * cols + text.ids.length);
  }
  return { ids, mask, rows, cols };
}

function withoutPrompt(batch: TokenBatch, unpooledTokens: number): Int32Array {
  const mask = batch.mask.slice();
  for (let row = 0; row < batch.rows; row += 1)
    mask.fill(0, row * batch.cols, row * batch.cols + Math.min(unpooledTokens, batch.cols));
  return mask;
}
