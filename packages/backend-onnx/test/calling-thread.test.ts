import { onnx } from '@sentvec/backend-onnx';
import type { Embedder } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { goldenModel } from '@sentvec/testing';
import { InferenceSession } from 'onnxruntime-node';
import { afterEach, expect, it, vi } from 'vitest';

/** The sessions of this thread; those of worker threads have another. */
const { prototype: sessions } = InferenceSession as unknown as { readonly prototype: InferenceSession };

const query = 'How do I reset the password of my account?';

afterEach(() => void vi.restoreAllMocks());

/**
 * Embeds the query until the session on the calling thread is being warmed up: then it has the next lone batches,
 * whatever the clock says. @returns the vectors
 */
async function embedUntilHere(embedder: Embedder): Promise<number[][]> {
  const run = vi.spyOn(sessions, 'run');
  const vectors: number[][] = [];
  while (run.mock.calls.length < 10) vectors.push([...(await embedder.embed(query)).vector]);
  run.mockRestore();
  return vectors;
}

it('a query that comes alone has the same vector on the calling thread and in a worker thread', async () => {
  await using embedder = await loadEmbedder(goldenModel('tiny-bert'), { backend: onnx() });
  const vectors = await embedUntilHere(embedder);
  await using inThreads = await loadEmbedder(goldenModel('tiny-bert'), { backend: onnx({ sessions: 1 }) });
  const run = vi.spyOn(sessions, 'run');
  const expected = [...(await inThreads.embed(query)).vector];
  for (let count = 0; count < 40; count += 1) await inThreads.embed(query);
  expect(run).not.toHaveBeenCalled();
  expect(vectors).toEqual(vectors.map(() => expected));
});

it('a failure of onnxruntime on the calling thread fails its call and no other', async () => {
  await using embedder = await loadEmbedder(goldenModel('tiny-bert'), { backend: onnx() });
  const [vector] = await embedUntilHere(embedder);
  vi.spyOn(sessions, 'run').mockRejectedValueOnce(new Error('no memory for Gemm'));
  await expect(embedder.embed(query)).rejects.toMatchObject({
    code: 'backend-failed',
    message: expect.stringContaining('no memory for Gemm'),
  });
  expect([...(await embedder.embed(query)).vector]).toEqual(vector);
});
