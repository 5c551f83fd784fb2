import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { applyProjections, createPooling, rowOf, type Embedder } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';
import { goldenExpectation, goldenPath } from '@sentvec/testing';
import { env, pipeline, type Tensor } from '@huggingface/transformers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { largestDifference, Workplace } from './sentvec.ts';

const place = new Workplace();

beforeAll(() => {
  env.allowRemoteModels = false;
  env.localModelPath = place.directory;
});

/** Token embeddings of transformers.js, texts × positions × dimensions, or its pooled vectors. */
async function extract(folder: string, texts: string[], pooling: 'none' | 'mean' | 'cls'): Promise<Tensor> {
  const extractor = await pipeline('feature-extraction', folder, { dtype: 'fp32' });
  try {
    return await extractor(texts, { pooling });
  } finally {
    await extractor.dispose();
  }
}

/**
 * Texts that transformers.js handles differently: it truncates a long text without keeping the special token at its
 * end, and cannot batch a text without tokens.
 */
function comparable(name: string): string[] {
  return goldenExpectation(name)
    .cases.filter(({ truncated }) => !truncated)
    .map(({ text }) => text);
}

describe.each(['tiny-bert-multipool', 'use-lite'])('the exported folder of %s', (name) => {
  const texts = name === 'use-lite' ? comparable('tiny-bert').filter((text) => text !== '') : comparable(name);
  let original: Embedder;
  let exported: Embedder;

  beforeAll(async () => {
    const model = name === 'use-lite' ? 'use-lite' : goldenPath(`models/${name}`);
    await place.succeed(['export', model, '--output', name]);
    const { useLite } = await import('@sentvec/model-use-lite');
    original = await loadEmbedder(name === 'use-lite' ? await useLite() : model, { backend: onnx() });
    exported = await loadEmbedder(place.path(name), { backend: onnx() });
  });

  afterAll(async () => {
    await Promise.all([original.dispose(), exported.dispose()]);
  });

  it('is self-contained', async () => {
    const needed = [
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'model.safetensors',
      'modules.json',
      'onnx/model.onnx',
    ];
    expect(needed.filter((path) => !existsSync(place.path(`${name}/${path}`)))).toEqual([]);
    const { model_max_length: limit, pad_token: padding } = JSON.parse(
      await readFile(place.path(`${name}/tokenizer_config.json`), 'utf8'),
    );
    expect(limit).toBe(original.maxLength);
    expect(padding).toEqual(expect.any(String));
  });

  it('has the same vector space in sentvec', async () => {
    const [one, two] = [await original.embed(texts), await exported.embed(texts)];
    expect(two.receipt.fingerprint).toBe(one.receipt.fingerprint);
    expect(largestDifference(two.vectors.data, one.vectors.data)).toBeLessThan(1e-6);
  });

  it('computes the same vectors in transformers.js, with the pooling and projections of the model', async () => {
    const { vectors } = await original.embed(texts);
    const tokens = await extract(name, texts, 'none');
    const [rows = 0, cols = 0, width = 0] = tokens.dims;
    const tokenized = await original.tokenizer.encode(texts, { maxLength: original.maxLength });
    const mask = Int32Array.from({ length: rows * cols }, (_, at) =>
      at % cols < tokenized[Math.floor(at / cols)]!.ids.length ? 1 : 0,
    );
    const batch = { ids: new Int32Array(rows * cols), mask, rows, cols };
    const pooled = createPooling(original.head.pooling.modes!).pool(
      { data: tokens.data as Float32Array, rows: rows * cols, cols: width },
      batch,
    );
    const final = applyProjections(original.head.projections, pooled);
    for (const row of texts.keys())
      expect(largestDifference(rowOf(final, row), rowOf(vectors, row))).toBeLessThan(1e-5);
  });

  it.skipIf(name === 'tiny-bert-multipool')(
    'is pooled by transformers.js itself with the same result (skipped for three poolings side by side: transformers.js does one)',
    async () => {
      const { vectors } = await original.embed(texts);
      const pooled = await extract(name, texts, 'mean');
      const [rows = 0, cols = 0] = pooled.dims;
      const final = applyProjections(original.head.projections, { data: pooled.data as Float32Array, rows, cols });
      for (const row of texts.keys())
        expect(largestDifference(rowOf(final, row), rowOf(vectors, row))).toBeLessThan(1e-5);
    },
  );
});

it('refuses to write to an existing folder', async () => {
  await place.write('a-file', '');
  const { code, stderr } = await place.run(['export', goldenPath('models/tiny-bert'), '--output', '.']);
  expect(stderr).toMatch(/^sentvec: \. is there already/);
  expect(code).toBe(1);
});
