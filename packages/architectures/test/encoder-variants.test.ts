import { describe, expect, it } from 'vitest';
import { memoryModel, writeSafetensors } from '@sentvec/core';
import { hiddenActivations, type PlainTensor, readEncoder } from '@sentvec/architectures';
import { relativeRow } from '../src/encoders/deberta-v2.ts';
import { bucketStarts } from '../src/encoders/relative-bias.ts';
import { batchOf, encodeOnnx, encodePlain, largestDifferenceOf, tokensOf } from './encoding.ts';
import {
  type Config,
  halfSafetensors,
  modelFolder,
  randomModel,
  randomWeights,
  truncatedTo,
  tinyConfigs,
} from './models.ts';
import { largestDifference } from './onnx-session.ts';

const texts = [
  [2, 7, 5, 3],
  [2, 3],
  [2, 10, 4, 4, 6, 8, 3],
];
const batch = batchOf(texts, 1, 8);

describe.each(Object.entries(tinyConfigs))('%s', (_, config) => {
  it('gives the same vectors in onnxruntime and in plain TypeScript', async () => {
    const files = await randomModel(config);
    const [recorded, plain] = [await encodeOnnx(files, batch), await encodePlain(files, batch)];
    for (const [row, { length }] of texts.entries())
      expect(largestDifferenceOf(tokensOf(recorded, row, length), tokensOf(plain, row, length))).toBeLessThan(2e-5);
  });

  it('gives a text the same vectors in every batch', async () => {
    const files = await randomModel(config);
    const together = await encodePlain(files, batch);
    for (const [row, text] of texts.entries()) {
      const alone = await encodePlain(files, batchOf([text], 1));
      expect(largestDifferenceOf(tokensOf(together, row, text.length), tokensOf(alone, 0, text.length))).toBeLessThan(
        1e-6,
      );
    }
  });

  it.each(['bert.', '0.auto_model.', 'model.encoder.'])('reads weights with the prefix %s', async (prefix) => {
    const renamed = await encodePlain(await randomModel(config, (name) => prefix + name), batch);
    expect(largestDifference(renamed, await encodePlain(await randomModel(config), batch))).toBe(0);
  });

  it.each(['F16', 'BF16'] as const)('reads weights stored as %s', async (type) => {
    const weights = await randomWeights(config);
    const rounded = Object.fromEntries(
      [...weights].map(([name, { shape, data }]) => [
        name,
        { shape, data: data.map((entry) => truncatedTo(type, entry)) },
      ]),
    );
    const half = await encodePlain(modelFolder(config, halfSafetensors(type, weights)), batch);
    expect(largestDifference(half, await encodePlain(modelFolder(config, writeSafetensors(rounded)), batch))).toBe(0);
  });

  it('reads weights from shards', async () => {
    const weights = [...(await randomWeights(config))];
    const shards = [weights.filter((__, i) => i % 2 === 0), weights.filter((__, i) => i % 2 === 1)];
    const shardName = (i: number): string => `model-0000${i + 1}-of-00002.safetensors`;
    const index = {
      weight_map: Object.fromEntries(shards.flatMap((shard, i) => shard.map(([name]) => [name, shardName(i)]))),
    };
    const files = memoryModel('sharded', {
      'config.json': JSON.stringify(config),
      'model.safetensors.index.json': JSON.stringify(index),
      ...Object.fromEntries(
        shards.flatMap((shard, i) =>
          shard.length === 0 ? [] : [[shardName(i), writeSafetensors(Object.fromEntries(shard))]],
        ),
      ),
    });
    expect(
      largestDifference(await encodePlain(files, batch), await encodePlain(await randomModel(config), batch)),
    ).toBe(0);
  });
});

describe('properties of architectures', () => {
  const bert = tinyConfigs['bert']!;
  const names: readonly (readonly [RegExp, string])[] = [
    [/^encoder\.layer/, 'transformer.layer'],
    [/attention\.self\.query/, 'attention.q_lin'],
    [/attention\.self\.key/, 'attention.k_lin'],
    [/attention\.self\.value/, 'attention.v_lin'],
    [/attention\.output\.dense/, 'attention.out_lin'],
    [/attention\.output\.LayerNorm/, 'sa_layer_norm'],
    [/intermediate\.dense/, 'ffn.lin1'],
    [/output\.dense/, 'ffn.lin2'],
    [/output\.LayerNorm/, 'output_layer_norm'],
  ];

  it('DistilBERT equals BERT without token types and with other names', async () => {
    const weights = await randomWeights(bert);
    const types = weights.get('embeddings.token_type_embeddings.weight')!.data.fill(0);
    expect(types.length).toBe(12);
    const renamed = [...weights].map(([name, tensor]) => [
      names.reduce((text, [from, to]) => text.replace(from, to), name),
      tensor,
    ]);
    const distilbert = modelFolder(tinyConfigs['distilbert']!, writeSafetensors(Object.fromEntries(renamed)));
    const same = modelFolder(bert, writeSafetensors(Object.fromEntries(weights)));
    expect(largestDifference(await encodePlain(distilbert, batch), await encodePlain(same, batch))).toBe(0);
  });

  it('RoBERTa equals BERT whose positions start after the padding id', async () => {
    const roberta: Config = { ...bert, model_type: 'roberta', pad_token_id: 1, max_position_embeddings: 11 };
    const weights = await randomWeights(roberta);
    const moved = new Map(weights);
    const positions = weights.get('embeddings.position_embeddings.weight')!;
    moved.set('embeddings.position_embeddings.weight', { shape: [9, 6], data: positions.data.slice(2 * 6) });
    const [first, second] = [
      await encodePlain(modelFolder(roberta, writeSafetensors(Object.fromEntries(weights))), batch),
      await encodePlain(modelFolder(bert, writeSafetensors(Object.fromEntries(moved))), batch),
    ];
    texts.forEach((text, row) => expect(tokensOf(first, row, text.length)).toEqual(tokensOf(second, row, text.length)));
  });

  it('MPNet with a constant relative bias equals RoBERTa without token types', async () => {
    const mpnet = tinyConfigs['mpnet']!;
    const weights = await randomWeights(mpnet);
    weights.get('encoder.relative_attention_bias.weight')!.data.fill(0.75);
    const renamed = [...weights]
      .filter(([name]) => !name.includes('relative'))
      .map(([name, tensor]) => [
        name
          .replace(/attn\.q/, 'self.query')
          .replace(/attn\.k/, 'self.key')
          .replace(/attn\.v/, 'self.value')
          .replace(/attn\.o/, 'output.dense')
          .replace('attention.LayerNorm', 'attention.output.LayerNorm'),
        tensor,
      ]);
    const roberta = modelFolder(
      { ...mpnet, model_type: 'roberta', type_vocab_size: 0 },
      writeSafetensors(Object.fromEntries(renamed)),
    );
    const same = modelFolder(mpnet, writeSafetensors(Object.fromEntries(weights)));
    expect(largestDifference(await encodePlain(roberta, batch), await encodePlain(same, batch))).toBeLessThan(1e-6);
  });

  it.each([
    // The number of buckets in one direction, the maximum distance, and the smallest distances of the buckets in
    // PyTorch 2.14.1.
    [4, 128, [1, 2, 16]],
    [8, 128, [1, 2, 3, 4, 10, 23, 54]],
    [16, 128, [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]],
    [16, 256, [1, 2, 3, 4, 5, 6, 7, 8, 13, 20, 30, 46, 70, 108, 166]],
    [8, 64, [1, 2, 3, 4, 8, 16, 32]],
    [8, 40, [1, 2, 3, 4, 8, 13, 23]],
    [6, 81, [1, 2, 3, 9, 27]],
  ])('%i buckets up to the distance %i start at the same distances as in PyTorch', (buckets, maxDistance, expected) => {
    expect(bucketStarts(buckets, maxDistance)).toEqual(expected);
  });

  it('relative positions of DeBERTa have the same rows as in PyTorch', () => {
    const row = (distance: number): number => relativeRow(distance, { buckets: 16, maxDistance: 64, span: 16 });
    const distances = [0, 7, 8, 9, 10, 11, 14, 15, 19, 20, 26, 27, 34, 35, 46, 47, 63, 64];
    const rows = [16, 23, 24, 25, 25, 26, 26, 27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 31];
    expect(distances.map(row)).toEqual(rows);
    expect([-7, -8, -9, -47, -63, -64, -85].map(row)).toEqual([9, 8, 7, 1, 1, 0, 0]);
    expect(
      [-9, -8, -1, 7, 8].map((distance) => relativeRow(distance, { buckets: 0, maxDistance: 8, span: 8 })),
    ).toEqual([0, 0, 7, 15, 15]);
  });

  it('the weights of a layer normalization may be called gamma and beta', async () => {
    const older = await randomModel(bert, (name) =>
      name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'),
    );
    expect(largestDifference(await encodePlain(older, batch), await encodePlain(await randomModel(bert), batch))).toBe(
      0,
    );
  });

  it('a weight that is stored under two names has both of them', async () => {
    const weights = await randomWeights(bert);
    const norm = weights.get('embeddings.LayerNorm.weight')!;
    weights.set('embeddings.LayerNorm.gamma', norm);
    const definition = await readEncoder(modelFolder(bert, writeSafetensors(Object.fromEntries(weights))));
    expect(definition.storedNames('embeddings.LayerNorm.weight')).toEqual([
      'embeddings.LayerNorm.weight',
      'embeddings.LayerNorm.gamma',
    ]);
  });

  it('a bidirectional Qwen3 with num_labels, such as voyage-4-nano, projects its token vectors', async () => {
    const qwen3 = { ...tinyConfigs['qwen3'], use_bidirectional_attention: true };
    const weights = await randomWeights({ ...qwen3, num_labels: 7 });
    const projection = weights.get('linear.weight')!.data;
    // In the file of voyage-4-nano only the encoder has a prefix.
    const named = [...weights].map(([name, tensor]) => [name.startsWith('linear') ? name : `model.${name}`, tensor]);
    const file = writeSafetensors(Object.fromEntries(named));
    const projected = await encodePlain(modelFolder({ ...qwen3, num_labels: 7 }, file), batch);
    const plain = await encodePlain(modelFolder(qwen3, file), batch);
    for (const [row, text] of texts.entries()) {
      const tokens = tokensOf(plain, row, text.length);
      const expected = text.flatMap((_, token) =>
        Array.from({ length: 7 }, (__, output) =>
          Array.from({ length: 6 }, (___, i) => tokens[token * 6 + i]! * projection[output * 6 + i]!).reduce(
            (a, b) => a + b,
          ),
        ),
      );
      expect(largestDifferenceOf(tokensOf(projected, row, text.length), expected)).toBeLessThan(1e-5);
    }
  });

  it.each<[Config, boolean]>([
    [{}, true],
    [{ is_causal: true }, true],
    [{ is_causal: false }, false],
    [{ use_bidirectional_attention: false }, true],
    [{ use_bidirectional_attention: true }, false],
    [{ is_causal: true, use_bidirectional_attention: true }, false],
    [{ is_causal: false, use_bidirectional_attention: false }, false],
  ])('a Llama with %j has causal attention: %s', async (flags, isCausal) => {
    const { is_causal: _, ...llama } = tinyConfigs['llama']!;
    const files = await randomModel({ ...llama, ...flags });
    const [first, second] = [
      [2, 7, 5, 3],
      [2, 7, 5, 9],
    ].map(async (text) => encodePlain(files, batchOf([text], 1)));
    const gap = largestDifferenceOf(tokensOf(await first!, 0, 3), tokensOf(await second!, 0, 3));
    expect(gap === 0).toBe(isCausal);
  });

  it('without layer_types, every sixth layer of Gemma 3 has full attention, or every n-th by sliding_window_pattern', async () => {
    const { layer_types: _, ...gemma }: Config = { ...tinyConfigs['gemma3_text'], num_hidden_layers: 7 };
    const encoded = async (more: Config): Promise<PlainTensor> =>
      encodePlain(await randomModel({ ...gemma, ...more }), batch);
    const withFullLayers = (fullLayers: readonly number[]): Promise<PlainTensor> =>
      encoded({
        layer_types: Array.from({ length: 7 }, (__, i) =>
          fullLayers.includes(i + 1) ? 'full_attention' : 'sliding_attention',
        ),
      });
    expect(largestDifference(await encoded({}), await withFullLayers([6]))).toBe(0);
    expect(largestDifference(await encoded({ sliding_window_pattern: 3 }), await withFullLayers([3, 6]))).toBe(0);
    expect(largestDifference(await withFullLayers([6]), await withFullLayers([5]))).toBeGreaterThan(1e-3);
  });

  it('a static embedding returns the rows of its table', async () => {
    const config = tinyConfigs['static-embedding']!;
    const table = (await randomWeights(config)).get('embedding.weight')!.data;
    const result = await encodePlain(await randomModel(config), batch);
    expect(tokensOf(result, 0, 4)).toEqual([2, 7, 5, 3].flatMap((id) => [...table.subarray(id * 6, id * 6 + 6)]));
  });

  it.each([...hiddenActivations.keys()])(
    'the activation %s gives the same vectors in onnxruntime',
    async (activation) => {
      const files = await randomModel({ ...bert, hidden_act: activation });
      expect(largestDifference(await encodeOnnx(files, batch), await encodePlain(files, batch))).toBeLessThan(2e-5);
    },
  );
});
