import {
  applyProjections,
  createPooling,
  loadStaticEmbedding,
  memoryModel,
  readModelFolder,
  SentvecError,
  writeSafetensors,
  type Head,
  type TokenBatch,
} from '@sentvec/core';
import { describe, expect, it } from 'vitest';

const vocabulary = 7;
const size = 5;
const table = Array.from({ length: vocabulary }, (_, id) =>
  Array.from({ length: size }, (__, i) => Math.fround(Math.sin(1 + 3 * id + 7 * i))),
);
const embedding = { shape: [vocabulary, size], data: Float32Array.from(table.flat()) };
const load = (tensors: Parameters<typeof writeSafetensors>[0]) =>
  loadStaticEmbedding(memoryModel('static', { 'model.safetensors': writeSafetensors(tensors) }));

/** Texts of the ids 0 to 6, padded on the right with 999, which is beyond the table. */
const texts = [[3, 1, 4, 1, 5], [6], [], [2, 0]];
const batch: TokenBatch = {
  ids: Int32Array.from(texts.flatMap((ids) => [...ids, ...Array.from({ length: 5 - ids.length }, () => 999)])),
  mask: Int32Array.from(texts.flatMap((ids) => Array.from({ length: 5 }, (_, i) => (i < ids.length ? 1 : 0)))),
  rows: 4,
  cols: 5,
};
const meanOf = (ids: readonly number[], rows = table) =>
  Array.from({ length: size }, (_, i) =>
    ids.length === 0 ? 0 : ids.reduce((sum, id) => sum + rows[id]![i]!, 0) / ids.length,
  );
const difference = (actual: Float32Array | undefined, expected: readonly number[]) =>
  actual?.length === expected.length ? Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!))) : Infinity;
const meanHead: Head = { pooling: createPooling('mean'), projections: [] };

describe('vectors of a static encoder', () => {
  it('of tokens are the rows of the table', async () => {
    const encoder = await load({ 'embedding.weight': embedding });
    const tokens = await encoder.encode(batch);
    expect([tokens.rows, tokens.cols, encoder.hiddenSize, encoder.vocabularySize, encoder.maxPositions]).toEqual([
      20,
      size,
      size,
      vocabulary,
      Infinity,
    ]);
    const expected = texts
      .flatMap((ids) => Array.from({ length: 5 }, (_, i) => (i < ids.length ? table[ids[i]!]! : Array(size).fill(0))))
      .flat();
    expect([...tokens.data]).toEqual(expected);
  });

  it('of texts are the means of their tokens, with encodePooled() and with encode() and pool()', async () => {
    const encoder = await load({ 'embedding.weight': embedding });
    const expected = texts.flatMap((ids) => meanOf(ids));
    const pooled = await encoder.encodePooled?.(batch, meanHead);
    expect([pooled?.rows, pooled?.cols]).toEqual([4, size]);
    expect(difference(pooled?.data, expected)).toBeLessThan(1e-6);
    expect(difference(meanHead.pooling.pool(await encoder.encode(batch), batch).data, expected)).toBeLessThan(1e-6);
  });

  it('leave out tokens where the pooling mask is 0', async () => {
    const encoder = await load({ 'embedding.weight': embedding });
    const poolingMask = batch.mask.slice();
    for (let row = 0; row < 4; row++) poolingMask[row * 5] = 0;
    const pooled = await encoder.encodePooled?.(batch, meanHead, { poolingMask });
    expect(
      difference(
        pooled?.data,
        texts.flatMap((ids) => meanOf(ids.slice(1))),
      ),
    ).toBeLessThan(1e-6);
  });

  it('are projected', async () => {
    const encoder = await load({ 'embedding.weight': embedding });
    const weight = { data: Float32Array.from({ length: 3 * size }, (_, i) => Math.cos(i)), rows: 3, cols: size };
    const projections: Head['projections'] = [{ kind: 'dense', weight, activation: 'Tanh' }, { kind: 'normalize' }];
    const many = Array.from({ length: 50 }, (_, i) => i % vocabulary);
    const wide = { ids: Int32Array.from(many), mask: new Int32Array(50).fill(1), rows: 50, cols: 1 };
    const pooled = await encoder.encodePooled?.(wide, { pooling: meanHead.pooling, projections });
    const means = { data: Float32Array.from(many.flatMap((id) => table[id]!)), rows: 50, cols: size };
    expect(pooled).toEqual(applyProjections(projections, means));
    expect(
      await encoder.encodePooled?.(
        { ids: new Int32Array(0), mask: new Int32Array(0), rows: 0, cols: 0 },
        { pooling: meanHead.pooling, projections },
      ),
    ).toEqual({
      data: new Float32Array(0),
      rows: 0,
      cols: 3,
    });
  });

  it('are undefined in encodePooled() with other poolings', async () => {
    const encoder = await load({ 'embedding.weight': embedding });
    for (const pooling of [
      createPooling('max'),
      createPooling(['mean', 'max']),
      { ...createPooling('mean'), modes: [] },
    ]) {
      expect(await encoder.encodePooled?.(batch, { pooling, projections: [] })).toBeUndefined();
    }
  });
});

describe('model2vec', () => {
  it('models map ids to rows and multiply them by weights', async () => {
    const rows = { shape: [3, size], data: Float32Array.from(table.slice(0, 3).flat()) };
    const mapping = [2, 0, 1, 1, 0, 2, 0];
    const weights = [0.5, 1, 2, 0.25, 3, 1.5, 0];
    const encoder = await load({
      embeddings: rows,
      mapping: { shape: [7], data: Int32Array.from(mapping) },
      weights: { shape: [7], data: Float32Array.from(weights) },
    });
    expect(encoder.vocabularySize).toBe(7);
    const folded = mapping.map((row, id) => table[row]!.map((value) => value * weights[id]!));
    const pooled = await encoder.encodePooled?.(batch, meanHead);
    expect(
      difference(
        pooled?.data,
        texts.flatMap((ids) => meanOf(ids, folded)),
      ),
    ).toBeLessThan(1e-6);
  });

  it('models may contain integers', async () => {
    const encoder = await load({ embeddings: { shape: [2, 2], data: new Int32Array([1, -2, 3, 4]) } });
    const one = { ids: new Int32Array([0, 1]), mask: new Int32Array([1, 1]), rows: 1, cols: 2 };
    expect((await encoder.encodePooled?.(one, meanHead))?.data).toEqual(new Float32Array([2, 1]));
  });

  const weights = { 'model.safetensors': writeSafetensors({ embeddings: embedding }) };

  it('models are read with modules.json, or with config.json alone', async () => {
    const modules = [
      { idx: 0, name: '0', path: '.', type: 'sentence_transformers.models.StaticEmbedding' },
      { idx: 1, name: '1', path: '1_Normalize', type: 'sentence_transformers.models.Normalize' },
    ];
    const read = [
      await readModelFolder(memoryModel('m', { ...weights, 'modules.json': JSON.stringify(modules) })),
      await readModelFolder(
        memoryModel('m', { ...weights, 'config.json': '{"model_type": "model2vec", "normalize": true}' }),
      ),
    ];
    for (const folder of read) {
      expect(folder).toMatchObject({
        encoder: 'static',
        encoderPath: '',
        hiddenSize: size,
        maxLength: undefined,
        addSpecialTokens: false,
        head: { pooling: { modes: ['mean'] }, projections: [{ kind: 'normalize' }] },
        notes: [],
      });
      expect(folder.staticEncoder?.vocabularySize).toBe(vocabulary);
    }
    const plain = await readModelFolder(
      memoryModel('m', { ...weights, 'config.json': '{"model_type": "model2vec", "normalize": false}' }),
    );
    expect(plain.head.projections).toEqual([]);
  });

  it('models are refused when a dense layer after them does not fit', async () => {
    const modules = [
      {
        path: '0_StaticEmbedding',
        type: 'sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding',
      },
      { path: '1_Dense', type: 'sentence_transformers.models.Dense' },
    ];
    const model = memoryModel('m', {
      'modules.json': JSON.stringify(modules),
      '0_StaticEmbedding/model.safetensors': writeSafetensors({ 'embedding.weight': embedding }),
      '1_Dense/config.json': '{"in_features": 4, "out_features": 2, "bias": false}',
      '1_Dense/model.safetensors': writeSafetensors({ 'linear.weight': { shape: [2, 4], data: new Float32Array(8) } }),
    });
    await expect(readModelFolder(model)).rejects.toThrow(/1_Dense does not fit .*2 × 4 gets vectors of 5/u);
  });
});

describe('loadStaticEmbedding() and its encoder refuse', () => {
  const vector = { shape: [3], data: new Float32Array(3) };
  const rows = { shape: [3, 1], data: new Float32Array(3) };

  it.each<[string, Parameters<typeof writeSafetensors>[0], RegExp]>([
    ['weights without a table', { other: vector }, /no tensor "embeddings"/u],
    ['a table of one dimension', { 'embedding.weight': vector }, /"embedding.weight" has the shape \[3\]/u],
    [
      'an empty table',
      { embeddings: { shape: [0, 3], data: new Float32Array(0) } },
      /"embeddings" has the shape \[0, 3\]/u,
    ],
    [
      'a mapping beyond the table',
      { embeddings: rows, mapping: { shape: [2], data: new Int32Array([0, 3]) } },
      /"mapping" points outside the 3 rows/u,
    ],
    [
      'a negative mapping',
      { embeddings: rows, mapping: { shape: [1], data: new Int32Array([-1]) } },
      /"mapping" points outside/u,
    ],
    [
      'too few weights',
      { embeddings: rows, weights: { shape: [2], data: new Float32Array(2) } },
      /"weights" has 2 entries for 3 tokens/u,
    ],
  ])('%s', async (_, tensors, message) => {
    await expect(load(tensors)).rejects.toThrow(message);
  });

  it.each([-1, vocabulary])('the id %i, which has no vector', async (id) => {
    const encoder = await load({ 'embedding.weight': embedding });
    const one = { ids: new Int32Array([id]), mask: new Int32Array([1]), rows: 1, cols: 1 };
    const message = `The tokenizer gave the id ${id}, but static/model.safetensors has vectors only for the ids 0 to 6. Check that the tokenizer belongs to the model.`;
    await expect(encoder.encode(one)).rejects.toThrow(message);
    await expect(encoder.encodePooled?.(one, meanHead)).rejects.toThrow(message);
  });

  it('a batch after dispose() or with an aborted signal', async () => {
    const encoder = await load({ 'embedding.weight': embedding });
    const signal = AbortSignal.abort();
    await expect(encoder.encode(batch, { signal })).rejects.toSatisfy((error) => SentvecError.is(error, 'aborted'));
    await expect(encoder.encodePooled?.(batch, meanHead, { signal })).rejects.toSatisfy((error) =>
      SentvecError.is(error, 'aborted'),
    );
    await encoder.dispose();
    await encoder.dispose();
    await expect(encoder.encode(batch)).rejects.toSatisfy((error) => SentvecError.is(error, 'disposed'));
    await expect(encoder.encodePooled?.(batch, meanHead)).rejects.toSatisfy((error) =>
      SentvecError.is(error, 'disposed'),
    );
  });
});

it('a static encoder yields to the event loop during a large batch', async () => {
  const encoder = await load({ 'embedding.weight': { shape: [2, 512], data: new Float32Array(1024) } });
  const large = { ids: new Int32Array(200_000), mask: new Int32Array(200_000).fill(1), rows: 2, cols: 100_000 };
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  await encoder.encodePooled?.(large, meanHead);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(0);
});
