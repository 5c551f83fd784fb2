// Measures the load time of large models, and the time and memory per text.
import { benchEncoders } from './encoder-bench.ts';
import type { ModelSize } from './models/random-folder.ts';

/** The models, with weights in the data types in which they are published. */
const models: readonly ModelSize[] = [
  {
    name: 'Qwen3-Embedding-0.6B size',
    config: {
      model_type: 'qwen3',
      hidden_size: 1024,
      intermediate_size: 3072,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 128,
      vocab_size: 151_669,
      max_position_embeddings: 32_768,
      rope_theta: 1_000_000,
    },
    stored: 'BF16',
  },
  {
    name: 'EmbeddingGemma-300m size',
    config: {
      model_type: 'gemma3_text',
      hidden_size: 768,
      intermediate_size: 1152,
      num_hidden_layers: 24,
      num_attention_heads: 3,
      num_key_value_heads: 1,
      head_dim: 256,
      vocab_size: 262_144,
      max_position_embeddings: 2048,
      sliding_window: 512,
      use_bidirectional_attention: true,
    },
    stored: 'BF16',
  },
  {
    name: 'bge-m3 size',
    config: {
      model_type: 'xlm-roberta',
      hidden_size: 1024,
      intermediate_size: 4096,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      vocab_size: 250_002,
      max_position_embeddings: 8194,
      type_vocab_size: 1,
      pad_token_id: 1,
    },
    stored: 'F32',
  },
];

await benchEncoders({
  models,
  lengths: '16,128,512',
  usage: `pnpm bench large-models [--model NAME] [--lengths N,N] [--threads N] [--rounds N] [--python COMMAND] [--json]

Loads models of the sizes of real ones with random weights, and prints how long that takes, the most memory meanwhile,
and what texts of 16, 128 and 512 tokens take. The folders take 4.1 GB of the cache. Linux only.
`,
});
