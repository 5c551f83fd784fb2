import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainReference } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { expect, it } from 'vitest';
import { selfCheck } from '../src/self-check-values.ts';

it('the self-check of the default model holds the values of its weights', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'sentvec-use-lite-self-check-'));
  try {
    const ids = Int32Array.from(selfCheck['ids'] as number[]);
    const model = await useLite({ cacheDirectory: cache });
    const reference = await plainReference(model, { ids, mask: ids.map(() => 1), rows: 1, cols: ids.length });
    if ('reason' in reference) throw new Error(reference.reason);
    const bytes = Buffer.from(selfCheck['token_embeddings'] as string, 'base64');
    expect(bytes.length).toBe(reference.data.length * 4);
    for (const [index, value] of reference.data.entries()) expect(bytes.readFloatLE(index * 4)).toBeCloseTo(value, 5);
    const embedder = await loadEmbedder(model, { backend: onnx({ sessions: 1, cacheDirectory: cache }) });
    expect(embedder.selfCheck).toMatchObject({ state: 'passed', reference: 'stored' });
    await embedder.dispose();
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
});
