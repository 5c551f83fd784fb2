import { plainBackend } from '@sentvec/architectures';
import { javaScriptTokenizer, type Embedder } from '@sentvec/core';
import { loadEmbedder, nodeTokenizer } from '@sentvec/core/node';
import { goldenExpectation, goldenModel, goldenModelNames } from '@sentvec/testing';
import { afterAll, describe, expect, test } from 'vitest';

/** The largest absolute difference between an entry of `vectors` and the same entry of the expected vectors. */
function largestDifference(
  vectors: { data: Float32Array; cols: number },
  expected: readonly (readonly number[])[],
): number {
  let largest = 0;
  for (const [row, values] of expected.entries()) {
    expect(values.length).toBe(vectors.cols);
    for (const [index, value] of values.entries())
      largest = Math.max(largest, Math.abs(value - vectors.data[row * vectors.cols + index]!));
  }
  return largest;
}

const tokenizers = {
  native: nodeTokenizer('native'),
  javascript: nodeTokenizer('javascript'),
  'javascript without worker threads': javaScriptTokenizer,
};

describe.each(goldenModelNames)('%s', (name) => {
  const expectation = goldenExpectation(name);
  const texts = expectation.cases.map(({ text }) => text);
  const loaded = new Map<string, Promise<Embedder>>();
  const load = (library: keyof typeof tokenizers): Promise<Embedder> => {
    const embedder =
      loaded.get(library) ??
      loadEmbedder(goldenModel(name), { backend: plainBackend(), tokenizer: tokenizers[library] });
    loaded.set(library, embedder);
    return embedder;
  };
  afterAll(async () => {
    for (const embedder of loaded.values()) await (await embedder).dispose();
  });

  test.each(Object.keys(tokenizers) as (keyof typeof tokenizers)[])(
    'gives the vectors of PyTorch with the tokenizer: %s',
    async (library) => {
      const { vectors, receipt } = await (await load(library)).embed(texts);
      expect(
        largestDifference(
          vectors,
          expectation.cases.map(({ embedding }) => embedding),
        ),
      ).toBeLessThan(5e-5);
      expect(receipt.truncated.map(({ row }) => row)).toEqual(
        expectation.cases.flatMap(({ truncated }, row) => (truncated ? [row] : [])),
      );
      expect(receipt.tokens).toBe(expectation.cases.reduce((sum, { ids }) => sum + ids.length, 0));
    },
  );

  test('gives the vectors of PyTorch with prompts', async () => {
    const embedder = await load('javascript');
    for (const { text, prompt_name: prompt, prompt: promptText, embedding } of expectation.prompted) {
      expect(largestDifference((await embedder.embed([text], { prompt })).vectors, [embedding])).toBeLessThan(5e-5);
      expect(largestDifference((await embedder.embed([text], { promptText })).vectors, [embedding])).toBeLessThan(5e-5);
    }
  });

  test('gives a text the same vector in every batch and order', async () => {
    const embedder = await load('javascript');
    const { vectors } = await embedder.embed(texts);
    const rowOf = (row: number): readonly number[] => [
      ...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols),
    ];
    const rows = texts.map((_, row) => rowOf(row));
    expect(largestDifference((await embedder.embed(texts.toReversed())).vectors, rows.toReversed())).toBeLessThan(2e-5);
    expect(largestDifference((await embedder.embed(texts, { batchTokens: 1 })).vectors, rows)).toBeLessThan(2e-5);
    expect(largestDifference((await embedder.embed(texts, { batchTokens: 1e6 })).vectors, rows)).toBeLessThan(2e-5);
    for await (const { row, vector } of embedder.embedStream(texts)) {
      expect(largestDifference({ data: vector, cols: vector.length }, [rows[row]!])).toBeLessThan(2e-5);
    }
  });

  test('has the dimension, maximum length and similarity function of its folder', async () => {
    const embedder = await load('javascript');
    expect(embedder).toMatchObject({
      dimension: expectation.dimension,
      maxLength: expectation.max_seq_length,
      similarityFunction: expectation.similarity_fn_name,
    });
    expect(embedder.head.pooling.outputSize(embedder.encoder.hiddenSize)).toBe(expectation.pooled_dimension);
  });
});
