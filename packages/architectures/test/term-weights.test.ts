// Compares the term weights of the golden sparse models with sentence-transformers, and tests unsupported settings.
import { readFileSync } from 'node:fs';
import { memoryModel, subfolder, termWeightsOutput, type Head, type ModelFiles, type TokenBatch } from '@sentvec/core';
import { goldenModel, goldenPath } from '@sentvec/testing';
import { plainBackend, plainIndices, readEncoder, recordEncoder } from '@sentvec/architectures';
import { describe, expect, it } from 'vitest';
import { batchOf } from './encoding.ts';
import { runOnnx } from './onnx-session.ts';

interface SparseCase {
  readonly route?: string | undefined;
  readonly ids: readonly number[];
  readonly indices: readonly number[];
  readonly values: readonly number[];
}

/** The encoder of a model with the section `term_weights` in its `config.json`. */
async function sparseEncoder(name: string, folder: string, pooling: string): Promise<ModelFiles> {
  const files = subfolder(goldenModel(name), folder);
  const json = async (from: ModelFiles, path: string) => JSON.parse(new TextDecoder().decode(await from.read(path)));
  const config = { ...(await json(files, 'config.json')), term_weights: await json(goldenModel(name), pooling) };
  return { ...files, read: async (path) => (path === 'config.json' ? encoded(config) : files.read(path)) };
}

const encoded = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

async function plainWeights(files: ModelFiles, batch: TokenBatch): Promise<ArrayLike<number>> {
  const encoder = await plainBackend().load(files);
  const pooling = { graphOutput: termWeightsOutput } as Head['pooling'];
  const weights = await encoder.encodePooled!(batch, { pooling, projections: [] });
  await encoder.dispose();
  return weights!.data;
}

async function onnxWeights(files: ModelFiles, batch: TokenBatch): Promise<ArrayLike<number>> {
  const shape = [batch.rows, batch.cols];
  const feeds = { input_ids: plainIndices(batch.ids, shape), attention_mask: plainIndices(batch.mask, shape) };
  const results = await runOnnx(recordEncoder(await readEncoder(files)), feeds);
  return results[termWeightsOutput]!.data;
}

describe.each([
  ['splade-bert-max', '', '1_SpladePooling/config.json'],
  ['splade-bert-sum', '', '1_SpladePooling/config.json'],
  ['splade-distilbert', '', '1_SpladePooling/config.json'],
  ['splade-roberta', '', '1_SpladePooling/config.json'],
  ['splade-modernbert', '', '1_SpladePooling/config.json'],
  ['splade-inference-free', 'document_0_Transformer', 'document_1_SpladePooling/config.json'],
])('%s', (name, folder, pooling) => {
  it.each([
    ['plain', plainWeights],
    ['ONNX', onnxWeights],
  ])('gives the weights of sentence-transformers in a padded batch (%s)', async (_, computeWeights) => {
    const expectation = JSON.parse(readFileSync(goldenPath(`models/${name}/expected.json`), 'utf8'));
    const { dimension, measured } = expectation;
    const cases = (expectation.cases as SparseCase[]).filter(({ route = 'document' }) => route === 'document');
    const paddingId = name.includes('roberta') ? 1 : 0;
    const batch = batchOf(
      cases.map(({ ids }) => ids),
      paddingId,
    );
    const weights = await computeWeights(await sparseEncoder(name, folder, pooling), batch);
    expect(weights).toHaveLength(cases.length * dimension);
    for (const [row, { indices, values }] of cases.entries()) {
      const expected = new Map(indices.map((index, place) => [index, values[place]!]));
      const gaps = Array.from({ length: dimension }, (_unused, term) =>
        Math.abs(weights[row * dimension + term]! - (expected.get(term) ?? 0)),
      );
      expect(Math.max(...gaps)).toBeLessThan(measured.tolerance);
    }
  });
});

it('term weights of an architecture without a masked language modeling head and unknown poolings are refused', async () => {
  const config = { model_type: 'albert', vocab_size: 8, embedding_size: 4, hidden_size: 4, num_hidden_layers: 1 };
  const sizes = { num_attention_heads: 1, intermediate_size: 4, max_position_embeddings: 8 };
  const load = (values: object) =>
    plainBackend().load(memoryModel('model', { 'config.json': JSON.stringify({ ...config, ...sizes, ...values }) }));
  await expect(load({ term_weights: {} })).rejects.toMatchObject({ code: 'unsupported-model' });
  await expect(load({ model_type: 'bert', term_weights: { pooling_strategy: 'mean' } })).rejects.toMatchObject({
    code: 'unsupported-model',
    message: expect.stringContaining('term_weights.pooling_strategy "mean"'),
  });
});
