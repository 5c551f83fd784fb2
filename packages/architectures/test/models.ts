import { type ModelFiles, memoryModel, writeSafetensors } from '@sentvec/core';
import { encoderNetwork } from '@sentvec/architectures';
import { randomNumbers } from './operation-cases.ts';

/** The configuration of a model. */
export type Config = Readonly<Record<string, unknown>>;

/** A small configuration of every architecture. Its sizes differ from each other, to detect mixed-up axes. */
export const tinyConfigs: Readonly<Record<string, Config>> = {
  bert: {
    model_type: 'bert',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 9,
    type_vocab_size: 2,
  },
  'xlm-roberta': {
    model_type: 'xlm-roberta',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    intermediate_size: 5,
    max_position_embeddings: 10,
    type_vocab_size: 1,
    pad_token_id: 1,
    layer_norm_eps: 1e-5,
    hidden_act: 'gelu_new',
  },
  mpnet: {
    model_type: 'mpnet',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 10,
    relative_attention_num_buckets: 8,
    layer_norm_eps: 1e-5,
  },
  distilbert: {
    model_type: 'distilbert',
    vocab_size: 11,
    dim: 6,
    n_layers: 2,
    n_heads: 2,
    hidden_dim: 5,
    max_position_embeddings: 9,
    activation: 'gelu',
  },
  modernbert: {
    model_type: 'modernbert',
    vocab_size: 11,
    hidden_size: 12,
    num_hidden_layers: 3,
    num_attention_heads: 3,
    intermediate_size: 5,
    max_position_embeddings: 20,
    local_attention: 4,
    global_attn_every_n_layers: 2,
  },
  nomic_bert: {
    model_type: 'nomic_bert',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    head_dim: 4,
    intermediate_size: 5,
    max_position_embeddings: 20,
  },
  'nomic_bert with experts': {
    model_type: 'nomic_bert',
    vocab_size: 11,
    n_embd: 8,
    n_layer: 2,
    n_head: 2,
    n_inner: 5,
    n_positions: 20,
    activation_function: 'gelu',
    rotary_emb_fraction: 1,
    type_vocab_size: 1,
    moe_every_n_layers: 2,
    num_experts: 4,
    moe_top_k: 3,
  },
  new: {
    model_type: 'new',
    vocab_size: 11,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 20,
    type_vocab_size: 0,
    rope_scaling: { type: 'ntk', factor: 2 },
  },
  'bert with alibi': {
    model_type: 'bert',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    intermediate_size: 5,
    max_position_embeddings: 20,
    position_embedding_type: 'alibi',
    feed_forward_type: 'geglu',
  },
  'bert with alibi and more normalizations': {
    model_type: 'bert',
    auto_map: { AutoModel: 'jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel' },
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 20,
    position_embedding_type: 'alibi',
    feed_forward_type: 'geglu',
  },
  jina_embeddings_v3: {
    model_type: 'jina_embeddings_v3',
    vocab_size: 11,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 20,
  },
  qwen3: {
    model_type: 'qwen3',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 4,
    intermediate_size: 5,
    max_position_embeddings: 20,
    rope_theta: 100,
    use_sliding_window: true,
    sliding_window: 3,
    max_window_layers: 1,
  },
  llama: {
    model_type: 'llama',
    vocab_size: 11,
    hidden_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    intermediate_size: 5,
    max_position_embeddings: 20,
    attention_bias: true,
    mlp_bias: true,
    is_causal: false,
  },
  gemma3_text: {
    model_type: 'gemma3_text',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 4,
    intermediate_size: 5,
    max_position_embeddings: 20,
    query_pre_attn_scalar: 5,
    sliding_window: 4,
    layer_types: ['sliding_attention', 'full_attention'],
    use_bidirectional_attention: true,
  },
  lfm2: {
    model_type: 'lfm2',
    vocab_size: 11,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 5,
    max_position_embeddings: 20,
    conv_L_cache: 3,
    conv_bias: true,
    block_auto_adjust_ff_dim: false,
    layer_types: ['conv', 'full_attention'],
  },
  t5: {
    model_type: 't5',
    vocab_size: 11,
    d_model: 6,
    d_kv: 4,
    d_ff: 5,
    num_layers: 2,
    num_heads: 2,
    relative_attention_num_buckets: 8,
    relative_attention_max_distance: 6,
    layer_norm_epsilon: 1e-6,
    feed_forward_proj: 'relu',
  },
  umt5: {
    model_type: 'umt5',
    vocab_size: 11,
    d_model: 6,
    d_kv: 2,
    d_ff: 5,
    num_layers: 2,
    num_heads: 3,
    relative_attention_num_buckets: 6,
    relative_attention_max_distance: 5,
    feed_forward_proj: 'gated-gelu',
  },
  electra: {
    model_type: 'electra',
    vocab_size: 11,
    embedding_size: 4,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 9,
  },
  albert: {
    model_type: 'albert',
    vocab_size: 11,
    embedding_size: 6,
    hidden_size: 6,
    num_hidden_layers: 3,
    num_hidden_groups: 2,
    inner_group_num: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 9,
  },
  'deberta-v2': {
    model_type: 'deberta-v2',
    vocab_size: 11,
    embedding_size: 4,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 9,
    type_vocab_size: 2,
    relative_attention: true,
    position_buckets: 4,
    pos_att_type: 'c2p|p2c',
    share_att_key: false,
    norm_rel_ebd: 'layer_norm',
    conv_kernel_size: 3,
    conv_groups: 2,
  },
  'deberta-v2 with shared projections': {
    model_type: 'deberta-v2',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    intermediate_size: 5,
    max_position_embeddings: 9,
    position_biased_input: false,
    relative_attention: true,
    pos_att_type: ['p2c', 'c2p'],
    share_att_key: true,
  },
  ernie: {
    model_type: 'ernie',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 9,
    task_type_vocab_size: 3,
    use_task_id: true,
  },
  'megatron-bert': {
    model_type: 'megatron-bert',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 9,
  },
  'xlm-roberta-xl': {
    model_type: 'xlm-roberta-xl',
    vocab_size: 11,
    hidden_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 5,
    max_position_embeddings: 10,
    pad_token_id: 1,
  },
  roformer: {
    model_type: 'roformer',
    vocab_size: 11,
    embedding_size: 4,
    hidden_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    intermediate_size: 5,
    max_position_embeddings: 9,
    rotary_value: true,
  },
  squeezebert: {
    model_type: 'squeezebert',
    vocab_size: 11,
    hidden_size: 6,
    embedding_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 4,
    max_position_embeddings: 9,
    q_groups: 2,
    k_groups: 3,
    v_groups: 1,
    post_attention_groups: 3,
    intermediate_groups: 2,
    output_groups: 2,
  },
  'universal-sentence-encoder-lite': {
    model_type: 'universal-sentence-encoder-lite',
    vocab_size: 11,
    embedding_size: 4,
    hidden_size: 6,
    intermediate_size: 5,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    max_position_embeddings: 9,
    hidden_act: 'relu',
    layer_norm_eps: 1e-6,
  },
  'universal-sentence-encoder-lite of pairs': {
    model_type: 'universal-sentence-encoder-lite',
    vocab_size: 11,
    embedding_size: 4,
    hidden_size: 6,
    intermediate_size: 5,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    max_position_embeddings: 9,
    hidden_act: 'relu',
    layer_norm_eps: 1e-6,
    type_vocab_size: 2,
    comparison_size: 3,
  },
  'static-embedding': { model_type: 'static-embedding', vocab_size: 11, hidden_size: 6 },
};

/** Random weights for a configuration by name, the same for the same seed. */
export async function randomWeights(
  config: Config,
  seed = 1,
): Promise<Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>> {
  return new Map(
    [...(await encoderNetwork(config)).weights].map(([name, { shape }], i) => {
      const count = shape.reduce((a, b) => a * b, 1);
      return [name, { shape, data: Float32Array.from(randomNumbers(count, seed * 1000 + i), (x) => x / 2) }];
    }),
  );
}

/** A model folder in memory. */
export function modelFolder(config: Config, weights: Uint8Array): ModelFiles {
  return memoryModel(`tiny-${String(config['model_type'])}`, {
    'config.json': JSON.stringify(config),
    'model.safetensors': weights,
  });
}

/** A model folder in memory with random weights. `rename` changes their names in the file. */
export async function randomModel(
  config: Config,
  rename: (name: string) => string = (name) => name,
  seed = 1,
): Promise<ModelFiles> {
  const tensors = Object.fromEntries(
    [...(await randomWeights(config, seed))].map(([name, tensor]) => [rename(name), tensor]),
  );
  return modelFolder(config, writeSafetensors(tensors));
}

/** A safetensors file whose tensors have the type F16 or BF16. */
export function halfSafetensors(
  type: 'F16' | 'BF16',
  tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>,
): Uint8Array {
  let size = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: type, shape, data_offsets: [size, size + data.length * 2] };
    size += data.length * 2;
  }
  const start = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + start.length + size);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(start.length), true);
  file.set(start, 8);
  let offset = 8 + start.length;
  for (const { data } of tensors.values()) {
    for (const entry of data) {
      view.setUint16(offset, type === 'F16' ? float16Bits(entry) : float32Bits(entry) >>> 16, true);
      offset += 2;
    }
  }
  return file;
}

function float32Bits(entry: number): number {
  return new Uint32Array(Float32Array.of(entry).buffer)[0]!;
}

/** The bits of a number in half precision, truncated instead of rounded; 0 for a magnitude below 2^-14. */
function float16Bits(entry: number): number {
  const bits = float32Bits(entry);
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15;
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

/** The value of a number after truncation to F16 or BF16. */
export function truncatedTo(type: 'F16' | 'BF16', entry: number): number {
  const mask = type === 'F16' ? ~0x1fff : ~0xffff;
  const rounded = new Float32Array(Uint32Array.of(float32Bits(entry) & mask).buffer)[0]!;
  return type === 'F16' && Math.abs(entry) < 2 ** -14 ? 0 : rounded;
}
