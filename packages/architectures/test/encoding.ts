import type { ModelFiles, TokenBatch } from '@sentvec/core';
import { plainBackend, plainIndices, type PlainTensor, readEncoder, recordEncoder } from '@sentvec/architectures';
import { runOnnx } from './onnx-session.ts';

/** A batch of texts as token ids, padded to the longest one or to `cols` tokens. */
export function batchOf(texts: readonly (readonly number[])[], paddingId: number, cols = 0): TokenBatch {
  const length = Math.max(cols, ...texts.map((text) => text.length));
  const padded = texts.flatMap((text) =>
    Array.from({ length }, (_, i) => [text[i] ?? paddingId, i < text.length ? 1 : 0] as const),
  );
  return {
    ids: Int32Array.from(padded, ([id]) => id),
    mask: Int32Array.from(padded, ([, real]) => real),
    rows: texts.length,
    cols: length,
  };
}

/** The last hidden state of the plain backend: `[rows, cols, hidden]`. */
export async function encodePlain(files: ModelFiles, batch: TokenBatch): Promise<PlainTensor> {
  const encoder = await plainBackend().load(files);
  const { data, cols } = await encoder.encode(batch);
  await encoder.dispose();
  return { data: Float64Array.from(data), shape: [batch.rows, batch.cols, cols] };
}

/** The last hidden state of the recorded model in onnxruntime: `[rows, cols, hidden]`. */
export async function encodeOnnx(files: ModelFiles, batch: TokenBatch): Promise<PlainTensor> {
  const model = recordEncoder(await readEncoder(files));
  const shape = [batch.rows, batch.cols];
  const results = await runOnnx(model, {
    input_ids: plainIndices(batch.ids, shape),
    attention_mask: plainIndices(batch.mask, shape),
  });
  return results['last_hidden_state']!;
}

/** The vectors of the first `count` tokens of a text. */
export function tokensOf({ data, shape }: PlainTensor, row: number, count: number): number[] {
  const [, cols, hidden] = shape as [number, number, number];
  return [...data.subarray(row * cols * hidden, (row * cols + count) * hidden)];
}

/** The largest absolute difference between two lists of numbers; infinite with a NaN. */
export function largestDifferenceOf(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new Error(`${a.length} and ${b.length} numbers.`);
  return a.reduce((largest, value, i) => {
    const gap = Math.abs(value - b[i]!);
    return Number.isNaN(gap) ? Infinity : Math.max(largest, gap);
  }, 0);
}
