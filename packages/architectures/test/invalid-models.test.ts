import { describe, expect, it } from 'vitest';
import { type ErrorCode, memoryModel, type ModelFiles, writeSafetensors } from '@sentvec/core';
import { plainBackend, readEncoder } from '@sentvec/architectures';
import { type Config, modelFolder, randomModel, randomWeights, tinyConfigs } from './models.ts';

const bert = tinyConfigs['bert']!;

const bertWeights = await randomWeights(bert);

function withConfig(changes: Config): ModelFiles {
  return modelFolder({ ...bert, ...changes }, writeSafetensors(Object.fromEntries(bertWeights)));
}

function withoutWeight(name: string): ModelFiles {
  const weights = new Map(bertWeights);
  weights.delete(name);
  return modelFolder(bert, writeSafetensors(Object.fromEntries(weights)));
}

function withoutWeights(architecture: string, changes: Config): ModelFiles {
  return modelFolder({ ...tinyConfigs[architecture], ...changes }, new Uint8Array(0));
}

const tables: readonly (readonly [what: string, files: ModelFiles, code: ErrorCode, messages: readonly RegExp[]])[] = [
  ['no config.json', memoryModel('m', { 'model.safetensors': '' }), 'invalid-model', [/config\.json/]],
  [
    'a config.json that is not JSON',
    memoryModel('m', { 'config.json': '{"model_type":' }),
    'invalid-model',
    [/m\/config\.json/, /not JSON/],
  ],
  [
    'a config.json that is a list',
    memoryModel('m', { 'config.json': '[1]' }),
    'invalid-model',
    [/m\/config\.json/, /object/],
  ],
  ['no model_type', memoryModel('m', { 'config.json': '{}' }), 'invalid-model', [/"model_type"/, /nothing/]],
  ...(
    [
      ['xlnet', 'bert', {}],
      ['qwen3_moe', 'qwen3', {}],
      ['embedding_gemma2', 'gemma3_text', {}],
      ['deberta', 'deberta-v2', {}],
      ['modernbert-decoder', 'modernbert', {}],
      ['phi3', 'llama', { num_key_value_heads: 2 }],
      ['longt5', 't5', { relative_attention_num_buckets: 32 }],
    ] as const
  ).map(
    ([type, nearest, changes]) =>
      [
        `the unknown architecture ${type}`,
        withConfig({ model_type: type, ...changes }),
        'unsupported-model',
        [
          new RegExp(`"${type}"`),
          new RegExp(`most similar supported architecture is ${nearest}\\.`),
          /CONTRIBUTING\.md.*mpnet/,
        ],
      ] as const,
  ),
  [
    'an architecture named like a property of Object.prototype',
    withConfig({ model_type: 'constructor' }),
    'unsupported-model',
    [/"constructor"/],
  ],
  [
    'an unsupported position_embedding_type',
    withConfig({ position_embedding_type: 'relative_key' }),
    'unsupported-model',
    [/position_embedding_type/, /"relative_key"/],
  ],
  ['a decoder', withConfig({ is_decoder: true }), 'unsupported-model', [/is_decoder/, /true/]],
  [
    'an unknown activation',
    withConfig({ hidden_act: 'xielu' }),
    'unsupported-model',
    [/hidden_act/, /"xielu"/, /gelu_new/],
  ],
  [
    'a size that is a string',
    withConfig({ hidden_size: '6' }),
    'invalid-model',
    [/"hidden_size"/, /whole number/, /"6"/],
  ],
  ['a negative size', withConfig({ intermediate_size: -5 }), 'invalid-model', [/"intermediate_size"/, /-5/]],
  [
    'more positions than allowed',
    modelFolder(
      { ...tinyConfigs['universal-sentence-encoder-lite'], max_position_embeddings: 2 ** 40 },
      new Uint8Array(0),
    ),
    'invalid-model',
    [/"max_position_embeddings"/, /65536/],
  ],
  ['a missing size', withConfig({ num_hidden_layers: null }), 'invalid-model', [/"num_hidden_layers"/, /nothing/]],
  [
    'a size beyond the safe integers',
    withConfig({ num_hidden_layers: 1e300 }),
    'invalid-model',
    [/"num_hidden_layers"/],
  ],
  ['more layers than there are weights for', withConfig({ num_hidden_layers: 3 }), 'invalid-model', [/layer\.2\./]],
  [
    'more layers than allowed',
    withConfig({ num_hidden_layers: 2 ** 50 }),
    'invalid-model',
    [/"num_hidden_layers"/, /1 to 1024/],
  ],
  [
    'a number of heads that does not divide the hidden size',
    withConfig({ num_attention_heads: 4 }),
    'invalid-model',
    [/width of 6/, /4 attention heads/],
  ],
  [
    'a hidden size that differs from the weights',
    withConfig({ hidden_size: 8 }),
    'invalid-model',
    [/word_embeddings/, /\[11, 6\]/, /\[11, 8\]/],
  ],
  [
    'a vocabulary size that differs from the weights',
    withConfig({ vocab_size: 12 }),
    'invalid-model',
    [/word_embeddings/, /\[11, 6\]/, /\[12, 6\]/],
  ],
  [
    'rotary position embeddings for a part of each head',
    modelFolder({ ...tinyConfigs['nomic_bert with experts'], rotary_emb_fraction: 0.5 }, new Uint8Array(0)),
    'unsupported-model',
    [/rotary_emb_fraction 0\.5/],
  ],
  [
    'experts with a gated activation',
    modelFolder({ ...tinyConfigs['nomic_bert with experts'], activation_function: 'swiglu' }, new Uint8Array(0)),
    'unsupported-model',
    [/activation_function "swiglu"/],
  ],
  [
    'more experts for a token than there are',
    modelFolder({ ...tinyConfigs['nomic_bert with experts'], moe_top_k: 5 }, new Uint8Array(0)),
    'invalid-model',
    [/"moe_top_k"/, /1 to 4/],
  ],
  [
    'an unsupported layer_norm_type',
    modelFolder({ ...tinyConfigs['new'], layer_norm_type: 'rms_norm' }, new Uint8Array(0)),
    'unsupported-model',
    [/layer_norm_type "rms_norm"/],
  ],
  [
    'an unsupported rope_scaling type',
    modelFolder({ ...tinyConfigs['new'], rope_scaling: { type: 'yarn', factor: 2 } }, new Uint8Array(0)),
    'unsupported-model',
    [/rope_scaling\.type "yarn"/],
  ],
  [
    'an odd head size with rotary position embeddings (jina-embeddings-v3)',
    modelFolder({ ...tinyConfigs['jina_embeddings_v3'], hidden_size: 6 }, new Uint8Array(0)),
    'invalid-model',
    [/must be even, found 3/],
  ],
  [
    'an unsupported feed_forward_type',
    modelFolder({ ...tinyConfigs['bert with alibi'], feed_forward_type: 'swiglu' }, new Uint8Array(0)),
    'unsupported-model',
    [/feed_forward_type "swiglu"/, /"reglu"/],
  ],
  ['an epsilon that is out of range', withConfig({ layer_norm_eps: 2 }), 'invalid-model', [/"layer_norm_eps"/]],
  ['an epsilon of 0', withConfig({ layer_norm_eps: 0 }), 'invalid-model', [/"layer_norm_eps".*greater than 0/]],
  [
    'a padding id that leaves no positions',
    withConfig({ model_type: 'roberta', pad_token_id: 8 }),
    'invalid-model',
    [/9 positions/, /padding id 8/],
  ],
  [
    'a missing weight',
    withoutWeight('encoder.layer.1.output.dense.bias'),
    'invalid-model',
    [/encoder\.layer\.1\.output\.dense\.bias/],
  ],
  [
    'a size that is a string under another name of its key',
    modelFolder({ ...tinyConfigs['distilbert'], dim: 'six' }, new Uint8Array(0)),
    'invalid-model',
    [/"dim"/, /"six"/],
  ],
  [
    'a missing embedding matrix',
    withoutWeight('embeddings.word_embeddings.weight'),
    'invalid-model',
    [/word_embeddings/],
  ],
  [
    'an unsupported rope_type',
    withoutWeights('llama', { rope_scaling: { rope_type: 'yarn', factor: 4 } }),
    'unsupported-model',
    [/rope_scaling\.rope_type "yarn"/, /llama3/],
  ],
  [
    'an odd head size with rotary position embeddings (Llama)',
    withoutWeights('llama', { head_dim: 5 }),
    'invalid-model',
    [/must be even, found 5/],
  ],
  [
    'a number of heads that is not a multiple of the key heads',
    withoutWeights('llama', { num_key_value_heads: 2 }),
    'invalid-model',
    [/num_attention_heads \(3\)/, /num_key_value_heads \(2\)/],
  ],
  [
    'sliding_attention layers without a sliding window',
    withoutWeights('qwen3', { use_sliding_window: false, layer_types: Array(3).fill('sliding_attention') }),
    'unsupported-model',
    [/layer_types/, /"use_sliding_window"/],
  ],
  [
    'an unsupported layer type',
    withoutWeights('qwen3', { layer_types: ['full_attention', 'linear_attention', 'full_attention'] }),
    'unsupported-model',
    [/layer_types "linear_attention"/, /sliding_attention/],
  ],
  [
    'custom code that decides whether attention is causal',
    withoutWeights('qwen3', { model_type: 'qwen2', auto_map: { AutoModel: 'modeling_qwen.Qwen2Model' } }),
    'unsupported-model',
    [/auto_map "modeling_qwen\.Qwen2Model"/, /"is_causal"/],
  ],
  [
    'soft-capped attention scores',
    withoutWeights('gemma3_text', { attn_logit_softcapping: 50 }),
    'unsupported-model',
    [/attn_logit_softcapping 50/],
  ],
  [
    'an unknown gated activation',
    withoutWeights('umt5', { feed_forward_proj: 'gated-xielu' }),
    'unsupported-model',
    [/feed_forward_proj "xielu"/, /gelu_new/],
  ],
  ['the decoder of T5', withoutWeights('t5', { is_decoder: true }), 'unsupported-model', [/is_decoder/]],
  [
    'a maximum distance below the number of exact buckets',
    withoutWeights('t5', { relative_attention_max_distance: 2 }),
    'invalid-model',
    [/"relative_attention_max_distance"/, /from 3/],
  ],
  [
    'an unsupported pos_att_type',
    withoutWeights('deberta-v2', { pos_att_type: 'c2p|p2p' }),
    'unsupported-model',
    [/pos_att_type "p2p"/, /c2p, p2c/],
  ],
  [
    'an unsupported norm_rel_ebd',
    withoutWeights('deberta-v2', { norm_rel_ebd: 'rms_norm' }),
    'unsupported-model',
    [/norm_rel_ebd "rms_norm"/],
  ],
  [
    'a convolution with an even kernel size',
    withoutWeights('deberta-v2', { conv_kernel_size: 4 }),
    'unsupported-model',
    [/conv_kernel_size 4/],
  ],
  [
    'more relative positions than allowed',
    withoutWeights('deberta-v2', { max_position_embeddings: 2 ** 40 }),
    'invalid-model',
    [/"max_position_embeddings"/],
  ],
  [
    'an odd head size with rotary position embeddings (RoFormer)',
    withoutWeights('roformer', { num_attention_heads: 4 }),
    'unsupported-model',
    [/num_attention_heads 4/, /must be even/],
  ],
  [
    'a number of groups that does not divide a size',
    withoutWeights('squeezebert', { output_groups: 4 }),
    'unsupported-model',
    [/output_groups 4/, /6/],
  ],
  [
    'an embedding size that differs from the hidden size',
    withoutWeights('squeezebert', { embedding_size: 4 }),
    'unsupported-model',
    [/embedding_size 4/],
  ],
  ['no weights', memoryModel('m', { 'config.json': JSON.stringify(bert) }), 'invalid-model', [/model\.safetensors/]],
];

describe('readEncoder refuses', () => {
  it.each(tables)('%s', async (_, files, code, messages) => {
    const error: unknown = await readEncoder(files).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    for (const part of messages) expect((error as Error).message).toMatch(part);
  });
});

describe('the plain backend', () => {
  const batch = { ids: Int32Array.of(2, 3), mask: Int32Array.of(1, 1), rows: 1, cols: 2 };

  it('is available', async () => {
    expect(await plainBackend().isAvailable()).toEqual({ available: true, device: 'JavaScript' });
  });

  it('returns no rows for an empty batch', async () => {
    const encoder = await plainBackend().load(await randomModel(bert));
    expect(await encoder.encode({ ids: new Int32Array(0), mask: new Int32Array(0), rows: 0, cols: 4 })).toMatchObject({
      rows: 0,
      cols: 6,
    });
  });

  it('refuses ids beyond the vocabulary', async () => {
    const encoder = await plainBackend().load(await randomModel(bert));
    const wrong = encoder.encode({ ...batch, ids: Int32Array.of(2, 11) });
    await expect(wrong).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringMatching(/id 11.*11 embeddings/) as string,
    });
  });

  it('refuses texts beyond its positions', async () => {
    const encoder = await plainBackend().load(await randomModel(bert));
    const wrong = encoder.encode({ ids: new Int32Array(10), mask: new Int32Array(10).fill(1), rows: 1, cols: 10 });
    await expect(wrong).rejects.toMatchObject({
      code: 'backend-failed',
      message: expect.stringMatching(/10 tokens.*9 positions/) as string,
    });
  });

  it('throws for an aborted signal and after dispose()', async () => {
    const encoder = await plainBackend().load(await randomModel(bert));
    await expect(encoder.encode(batch, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    await encoder.dispose();
    await encoder.dispose();
    await expect(encoder.encode(batch)).rejects.toMatchObject({ code: 'disposed' });
  });
});
