// Measures time and memory for long texts.
import { benchEncoders } from './encoder-bench.ts';
import type { ModelSize } from './models/random-folder.ts';

const miniLm = {
  hidden_size: 384,
  num_hidden_layers: 6,
  num_attention_heads: 12,
  vocab_size: 30_522,
  max_position_embeddings: 8192,
};

const models: readonly ModelSize[] = [
  {
    name: 'MiniLM-L6 size',
    config: { model_type: 'bert', ...miniLm, intermediate_size: 1536, hidden_act: 'gelu', type_vocab_size: 2 },
    stored: 'F32',
  },
  {
    name: 'ModernBERT pattern, MiniLM-L6 size',
    config: { model_type: 'modernbert', ...miniLm, vocab_size: 50_368, intermediate_size: 768, local_attention: 128 },
    stored: 'F32',
  },
  {
    name: 'ModernBERT-base size',
    config: {
      model_type: 'modernbert',
      hidden_size: 768,
      intermediate_size: 1152,
      num_hidden_layers: 22,
      num_attention_heads: 12,
      vocab_size: 50_368,
      max_position_embeddings: 8192,
      local_attention: 128,
    },
    stored: 'F32',
  },
];

await benchEncoders({
  models,
  lengths: '512,1024,2048,4096,8192',
  usage: `pnpm bench long-texts [--model NAME] [--lengths N,N] [--threads N] [--rounds N] [--python COMMAND] [--json]

Encodes texts of 512 to 8,192 tokens with random weights, and prints seconds and the megabytes above the open session.
Linux only.
`,
});
