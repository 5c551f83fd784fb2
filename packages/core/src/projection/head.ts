/** Applies the head, a pooling followed by projections, in steps that do not block the event loop. */
import { shouldYield, yieldToEventLoop } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import { applyProjections, projectionOutputSize } from './projection.ts';
import type { Head, Matrix, Projection, TokenBatch, TokenEmbeddings } from '../types.ts';

/** Maximum cost of a step, in multiplications or numbers read: about 2 ms. */
const stepCost = 2 ** 20;

/**
 * Pools a batch and projects the result, some rows at a time, yielding to the event loop in between. Rows do not depend
 * on each other, so the steps do not change the result.
 */
export async function applyHead(head: Head, tokens: TokenEmbeddings, batch: TokenBatch): Promise<Matrix> {
  const rowsOfStep = Math.max(1, Math.floor(stepCost / rowCost(head, batch.cols, tokens.cols)));
  const rows = pooledRows(head, batch.mask, batch.rows);
  let result: Matrix | undefined;
  let done = 0;
  for (let row = 0; row < batch.rows; row += rowsOfStep) {
    if (shouldYield()) await yieldToEventLoop();
    const count = Math.min(rowsOfStep, batch.rows - row);
    const vectors = applyProjections(head.projections, poolRows(head, tokens, batch, row, count));
    result ??= { data: new Float32Array(rows * vectors.cols), rows, cols: vectors.cols };
    result.data.set(vectors.data, done * vectors.cols);
    done += vectors.rows;
  }
  return result ?? { data: new Float32Array(0), rows: 0, cols: 0 };
}

/** Length of the vectors that a head gives. */
export function outputSize(head: Head, hiddenSize: number): number {
  return head.projections.reduce(
    (size, projection) => projectionOutputSize(projection, size),
    head.pooling.outputSize(hiddenSize),
  );
}

/**
 * A head that also truncates its vectors to `size` entries, without normalizing them again, like `truncate_dim` of
 * sentence-transformers (Kusupati et al. 2022, Matryoshka Representation Learning), and with `normalize` then
 * normalizes them to length 1.
 * @param size `undefined`: no truncation
 * @returns `head` itself when nothing is added
 */
export function derivedHead(head: Head, size: number | undefined, normalize: boolean): Head {
  const added: Projection[] = [
    ...(size === undefined ? [] : [{ kind: 'truncate', size } as const]),
    ...(normalize && !(size === undefined && endsNormalized(head)) ? [{ kind: 'normalize' } as const] : []),
  ];
  return added.length === 0 ? head : { pooling: head.pooling, projections: [...head.projections, ...added] };
}

/** Whether the vectors of a head have length 1. */
export function endsNormalized({ projections }: Head): boolean {
  return projections.at(-1)?.kind === 'normalize';
}

/** How many rows the pooling of a head gives for a batch, or for a part of one. */
export function pooledRows({ pooling }: Head, mask: Int32Array, texts: number): number {
  return pooling.perToken === true ? mask.reduce((count, bit) => count + bit, 0) : texts;
}

function poolRows(head: Head, tokens: TokenEmbeddings, batch: TokenBatch, row: number, count: number): Matrix {
  const first = row * batch.cols;
  const last = (row + count) * batch.cols;
  const pooled = head.pooling.pool(
    { data: tokens.data.subarray(first * tokens.cols, last * tokens.cols), rows: last - first, cols: tokens.cols },
    { ids: batch.ids.subarray(first, last), mask: batch.mask.subarray(first, last), rows: count, cols: batch.cols },
  );
  const size = head.pooling.outputSize(tokens.cols);
  const rows = pooledRows(head, batch.mask.subarray(first, last), count);
  if (pooled.rows === rows && pooled.cols === size && pooled.data.length === rows * size) return pooled;
  throw new SentvecError(
    'backend-failed',
    `The pooling "${head.pooling.name}" gave ${pooled.rows} × ${pooled.cols} numbers for ${count} texts, but its outputSize requires ${rows} × ${size}.`,
  );
}

function rowCost(head: Head, length: number, hiddenSize: number): number {
  let size = head.pooling.outputSize(hiddenSize);
  const vectors = head.pooling.perToken === true ? length : 1;
  let cost = Math.max(1, length * hiddenSize, length * size);
  for (const projection of head.projections) {
    const next = projectionOutputSize(projection, size);
    if (projection.kind === 'dense') cost += vectors * size * next * (projection.residualWeight ? 2 : 1);
    size = next;
  }
  return cost;
}
