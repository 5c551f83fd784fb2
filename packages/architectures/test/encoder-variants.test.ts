import { describe, expect, it } from 'vitest';
import { memoryModel, writeSafetensors } from '@sentvec/core';
import { hiddenActivations, type PlainTensor, readEncoder } from '@sentvec/architectures';
import { relativeRow } from '../src/encoders/deberta-v2.ts';
import { bucketStarts } from '../src/encoders/relative-bias.ts';
import { batchOf, encodeOnnx, encodePlain, largestGap, tokensOf } from './encoding.ts';
import {
  type Config,
  halfSafetensors,
  modelFolder,
  randomModel,
  randomWeights,
  roundedAs,
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
  it('is the same through onnxruntime as in plain TypeScript', async () => {
    const files = await randomModel(config);
    const [recorded, plain] = [await encodeOnnx(files, batch), await encodePlain(files, batch)];
    for (const [row, { length }] of texts.entries())
      expect(largestGap(tokensOf(recorded, row, length), tokensOf(plain, row, length))).toBeLessThan(2e-5);
  });

  it('gives a text the same vectors in any batch', async () => {
    const files = await randomModel(config);
    const together = await encodePlain(files, batch);
    for (const [row, text] of texts.entries()) {
      const alone = await encodePlain(files, batchOf([text], 1));
      expect(largestGap(tokensOf(together, row, text.length), tokensOf(alone, 0, text.length))).toBeLessThan(1e-6);
    }
  });

  it.each(['bert.', '0.auto_model.', 'model.encoder.'])('reads weights whose names begin with %s', async (prefix) => {
    const renamed = await encodePlain(await randomModel(config, (name) => prefix + name), batch);
    expect(largestDifference(renamed, await encodePlain(await randomModel(config), batch))).toBe(0);
  });

  it.each(['F16', 'BF16'] as const)('reads weights stored as %s', async (type) => {
    const weights = await randomWeights(config);
    const rounded = Object.fromEntries(
      [...weights].map(([name, { shape, data }]) => [
        name,
        { shape, data: data.map((entry) => roundedAs(type, entry)) },
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

describe('facts that follow from the definitions', () => {
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

  it('DistilBERT is BERT without token types, under other names', async () => {
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

  it('RoBERTa is BERT whose positions begin after the padding id', async () => {
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

  it('MPNet whose relative bias is constant is RoBERTa without token types', async () => {
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
    // Buckets of one direction, farthest distance, and the first distances of the buckets by PyTorch 2.14.1.
    [4, 128, [1, 2, 16]],
    [8, 128, [1, 2, 3, 4, 10, 23, 54]],
    [16, 128, [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]],
    [16, 256, [1, 2, 3, 4, 5, 6, 7, 8, 13, 20, 30, 46, 70, 108, 166]],
    [8, 64, [1, 2, 3, 4, 8, 16, 32]],
    [8, 40, [1, 2, 3, 4, 8, 13, 23]],
    [6, 81, [1, 2, 3, 9, 27]],
  ])('%i buckets up to distance %i begin where they do in PyTorch', (buckets, farthest, expected) => {
    expect(bucketStarts(buckets, farthest)).toEqual(expected);
  });

  it('the rows of relative positions are those of PyTorch', () => {
    const row = (distance: number): number => relativeRow(distance, { buckets: 16, farthest: 64, span: 16 });
    const distances = [0, 7, 8, 9, 10, 11, 14, 15, 19, 20, 26, 27, 34, 35, 46, 47, 63, 64];
    const rows = [16, 23, 24, 25, 25, 26, 26, 27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 31];
    expect(distances.map(row)).toEqual(rows);
    expect([-7, -8, -9, -47, -63, -64, -85].map(row)).toEqual([9, 8, 7, 1, 1, 0, 0]);
    expect([-9, -8, -1, 7, 8].map((distance) => relativeRow(distance, { buckets: 0, farthest: 8, span: 8 }))).toEqual([
      0, 0, 7, 15, 15,
    ]);
  });

  it('layer normalizations may be called gamma and beta', async () => {
    const older = await randomModel(bert, (name) =>
      name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'),
    );
    expect(largestDifference(await encodePlain(older, batch), await encodePlain(await randomModel(bert), batch))).toBe(
      0,
    );
  });

  it('a weight may be in the file under two names, and is found by either', async () => {
    const weights = await randomWeights(bert);
    const norm = weights.get('embeddings.LayerNorm.weight')!;
    weights.set('embeddings.LayerNorm.gamma', norm);
    const definition = await readEncoder(modelFolder(bert, writeSafetensors(Object.fromEntries(weights))));
    expect(definition.storedNames('embeddings.LayerNorm.weight')).toEqual([
      'embeddings.LayerNorm.weight',
      'embeddings.LayerNorm.gamma',
    ]);
  });

  it('a bidirectional Qwen3 with labels, as voyage-4-nano, projects its token vectors', async () => {
    const qwen3 = { ...tinyConfigs['qwen3'], use_bidirectional_attention: true };
    const weights = await randomWeights({ ...qwen3, num_labels: 7 });
    const projection = weights.get('linear.weight')!.data;
    // In its file only the encoder has a prefix.
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
      expect(largestGap(tokensOf(projected, row, text.length), expected)).toBeLessThan(1e-5);
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
  ])('tokens of a Llama with %j see only the tokens before them: %s', async (flags, isCausal) => {
    const { is_causal: _, ...llama } = tinyConfigs['llama']!;
    const files = await randomModel({ ...llama, ...flags });
    const [first, second] = [
      [2, 7, 5, 3],
      [2, 7, 5, 9],
    ].map(async (text) => encodePlain(files, batchOf([text], 1)));
    const gap = largestGap(tokensOf(await first!, 0, 3), tokensOf(await second!, 0, 3));
    expect(gap === 0).toBe(isCausal);
  });

  it('without layer_types, every sixth layer of Gemma 3 sees the whole text, or every so many as its pattern says', async () => {
    const { layer_types: _, ...gemma }: Config = { ...tinyConfigs['gemma3_text'], num_hidden_layers: 7 };
    const encoded = async (more: Config): Promise<PlainTensor> =>
      encodePlain(await randomModel({ ...gemma, ...more }), batch);
    const typed = (whole: readonly number[]): Promise<PlainTensor> =>
      encoded({
        layer_types: Array.from({ length: 7 }, (__, i) =>
          whole.includes(i + 1) ? 'full_attention' : 'sliding_attention',
        ),
      });
    expect(largestDifference(await encoded({}), await typed([6]))).toBe(0);
    expect(largestDifference(await encoded({ sliding_window_pattern: 3 }), await typed([3, 6]))).toBe(0);
    expect(largestDifference(await typed([6]), await typed([5]))).toBeGreaterThan(1e-3);
  });

  it('a static embedding is the rows of its table', async () => {
    const config = tinyConfigs['static-embedding']!;
    const table = (await randomWeights(config)).get('embedding.weight')!.data;
    const result = await encodePlain(await randomModel(config), batch);
    expect(tokensOf(result, 0, 4)).toEqual([2, 7, 5, 3].flatMap((id) => [...table.subarray(id * 6, id * 6 + 6)]));
  });

  it.each([...hiddenActivations.keys()])('the activation %s is the same through onnxruntime', async (activation) => {
    const files = await randomModel({ ...bert, hidden_act: activation });
    expect(largestDifference(await encodeOnnx(files, batch), await encodePlain(files, batch))).toBeLessThan(2e-5);
  });
});
