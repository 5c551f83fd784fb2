import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBackend } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { type Embedder, embeddingSimilarity } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ReferenceEncoder } from './reference-encoder.ts';

interface ReferenceVector {
  readonly text: string;
  readonly ids: readonly number[];
  /** By NumPy in float64, read off the published graph. */
  readonly embedding: readonly number[];
}

const references: ReferenceVector[] = JSON.parse(
  readFileSync(new URL('reference-vectors.json', import.meta.url), 'utf8'),
);
const data = new URL('../../../../shared/data/', import.meta.url);
const reasonSkipped = existsSync(data)
  ? undefined
  : 'the evaluation data may not be copied into this repository, and ../shared/data is not here';

// Converting and embedding take their time on a busy machine: no test here is about speed.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

let cache: string;
let embedder: Embedder;

beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'sentvec-use-lite-'));
  embedder = await loadEmbedder(await useLite({ cacheDirectory: cache }), { backend: onnx({ cacheDirectory: cache }) });
});

afterAll(async () => {
  await embedder.dispose();
  await rm(cache, { recursive: true, force: true });
});

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((largest, x, i) => Math.max(largest, Math.abs(x - b[i]!)), 0);
}

describe('vectors of the default model', () => {
  it('tokenizes as when the references were made', async () => {
    const tokenized = await embedder.tokenizer.encode(
      references.map(({ text }) => text),
      { maxLength: embedder.maxLength },
    );
    expect(tokenized.map(({ ids }) => [...ids])).toEqual(references.map(({ ids }) => ids));
  });

  it('are those of two independent forward passes in float64', async () => {
    const short = references.filter(({ ids }) => ids.length < 20);
    const reference = new ReferenceEncoder();
    const { vectors } = await embedder.embed(short.map(({ text }) => text));
    for (const [row, { ids, embedding }] of short.entries()) {
      const vector = vectors.data.subarray(row * 512, (row + 1) * 512);
      expect(largestDifference(reference.embed(ids), embedding)).toBeLessThan(1e-8);
      expect(largestDifference(vector, embedding)).toBeLessThan(3e-7);
    }
  });

  it('are those of the reference at the full length of 128 tokens, the rest cut', async () => {
    const long = references.filter(({ ids }) => ids.length === 128);
    expect(long).toHaveLength(1);
    const { vectors, receipt } = await embedder.embed(long.map(({ text }) => text));
    expect(largestDifference(vectors.data, long[0]!.embedding)).toBeLessThan(3e-7);
    expect(receipt.truncated).toEqual([{ row: 0, length: 180 }]);
  });

  it('are the same from the plain interpreter', async () => {
    const plain = await loadEmbedder(embedder.model, { backend: plainBackend() });
    const texts = references.slice(0, 2).map(({ text }) => text);
    const [a, b] = [await plain.embed(texts), await embedder.embed(texts)];
    await plain.dispose();
    expect(largestDifference(a.vectors.data, b.vectors.data)).toBeLessThan(3e-7);
    expect(a.receipt.fingerprint).toBe(b.receipt.fingerprint);
  });

  it('do not depend on the batch', async () => {
    const texts = references.map(({ text }) => text);
    const together = await embedder.embed(texts, { batchTokens: 4096 });
    for (const [row, text] of texts.entries()) {
      const alone = await embedder.embed([text]);
      expect(
        largestDifference(alone.vectors.data, together.vectors.data.subarray(row * 512, (row + 1) * 512)),
      ).toBeLessThan(1e-6);
    }
  });
});

describe.skipIf(reasonSkipped !== undefined)(
  `against data beside the repository${reasonSkipped === undefined ? '' : ` (skipped: ${reasonSkipped})`}`,
  () => {
    it('tokenizer.json is the one in the common format', async () => {
      const made = JSON.parse(new TextDecoder().decode(await embedder.model.read('tokenizer.json')));
      expect(made).toEqual(JSON.parse(readFileSync(new URL('tokenizers/use-lite/tokenizer.json', data), 'utf8')));
    });

    it('token ids are those of the Rust tokenizers', async () => {
      const golden: { text: string; ids: number[] }[] = JSON.parse(
        readFileSync(new URL('tokenizers/use-lite/golden.json', data), 'utf8'),
      );
      const tokenized = await embedder.tokenizer.encode(
        golden.map(({ text }) => text),
        { maxLength: 100_000 },
      );
      expect(tokenized.map(({ ids }) => [...ids])).toEqual(golden.map(({ ids }) => ids));
    });

    it('agrees with people on STS-B dev: Spearman of cosine at least 0.783', async () => {
      const rows = parseCsv(readFileSync(new URL('stsb/stsb-en-dev.csv', data), 'utf8'));
      expect(rows).toHaveLength(1500);
      const [first, second] = [
        await embedder.embed(rows.map(([text]) => text!)),
        await embedder.embed(rows.map(([, text]) => text!)),
      ];
      const metrics = embeddingSimilarity(
        first.vectors,
        second.vectors,
        rows.map(([, , score]) => Number(score)),
      );
      expect(metrics.spearman_cosine).toBeGreaterThanOrEqual(0.783);
      expect(metrics.spearman_cosine).toBeCloseTo(0.784, 3);
    });
  },
);

/** Lines of three fields, quoted where they hold a comma or a quote. */
function parseCsv(text: string): string[][] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,\r]*))/g)].map(
        ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain!,
      ),
    );
}
