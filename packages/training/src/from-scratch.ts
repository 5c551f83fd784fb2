import { encoderNetwork } from '@sentvec/architectures';
import {
  memoryModel,
  readTokenizerDefinition,
  writeSafetensors,
  type ModelFiles,
  type PoolingMode,
  type WritableTensor,
} from '@sentvec/core';
import { Random } from './random.ts';
import { trainWordPiece } from './word-piece-trainer.ts';

/** Options of {@link fromScratch}. */
export interface FromScratchOptions {
  /** `config.json` of the encoder, as far as it is not the default: a BERT of 4 layers, 256 wide, 4 heads. `vocab_size` is set by the
   * tokenizer. With `model_type` `static-embedding` a StaticEmbedding of `hidden_size`. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Pieces of the tokenizer. Default 8000. */
  readonly vocabularySize?: number;
  /** Default `mean`. */
  readonly pooling?: PoolingMode;
  /** The most tokens of a text. Default 128. */
  readonly maxLength?: number;
  /** Of the weights. Default 42. */
  readonly seed?: number;
}

/** BERT with small sizes; the keys are those of transformers. */
const defaultConfig = {
  model_type: 'bert',
  hidden_size: 256,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  intermediate_size: 1024,
  hidden_act: 'gelu',
  max_position_embeddings: 128,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  pad_token_id: 0,
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
};

/**
 * A model for a domain that has no pretrained one: an encoder with random weights (normal with deviation 0.02, as BERT's) and a WordPiece tokenizer
 * learnt from the texts. A sentence-transformers folder in memory, to be trained.
 * @param texts what the tokenizer learns from
 * @throws SentvecError `invalid-argument`, `unsupported-model` for a `model_type` that sentvec does not have
 */
export async function fromScratch(name: string, texts: Iterable<string>, options: FromScratchOptions = {}): Promise<ModelFiles> {
  const { pooling = 'mean', maxLength = 128, seed = 42, vocabularySize } = options;
  const vocabulary = trainWordPiece(texts, vocabularySize === undefined ? {} : { size: vocabularySize });
  const config = { ...defaultConfig, ...options.config, vocab_size: vocabulary.length };
  const tokenizer = {
    'vocab.txt': `${vocabulary.join('\n')}\n`,
    'tokenizer_config.json': json({ tokenizer_class: 'BertTokenizer', do_lower_case: true, model_max_length: maxLength }),
  };
  const { json: tokenizerJson } = await readTokenizerDefinition(memoryModel(name, tokenizer), {});
  const isStatic = config.model_type === 'static-embedding';
  const files: Record<string, Uint8Array | string> = {
    ...tokenizer,
    'tokenizer.json': json(tokenizerJson),
    'model.safetensors': writeSafetensors(randomWeights(config, seed), { format: 'pt' }),
    ...(isStatic ? {} : { 'config.json': json(config) }),
  };
  const encoderPath = isStatic ? '0_StaticEmbedding' : '';
  const moduleFiles = isStatic
    ? { [`${encoderPath}/`]: 'StaticEmbedding', '1_Normalize/': 'Normalize' }
    : { '': 'Transformer', '1_Pooling/': 'Pooling', '2_Normalize/': 'Normalize' };
  return memoryModel(name, {
    ...Object.fromEntries(Object.entries(files).map(([path, content]) => [encoderPath === '' ? path : `${encoderPath}/${path}`, content])),
    'modules.json': json(Object.entries(moduleFiles).map(([path, kind], idx) => moduleEntry(idx, path.replace(/\/$/, ''), kind))),
    ...(isStatic
      ? {}
      : {
          '1_Pooling/config.json': json({ word_embedding_dimension: config.hidden_size, pooling_mode: pooling, include_prompt: true }),
          'sentence_bert_config.json': json({ max_seq_length: maxLength, do_lower_case: false }),
        }),
    'config_sentence_transformers.json': json({ prompts: {}, default_prompt_name: null, similarity_fn_name: 'cosine' }),
  });
}

function moduleEntry(idx: number, path: string, kind: string) {
  return { idx, name: String(idx), path, type: `sentence_transformers.models.${kind}` };
}

/** Matrices are random; of vectors, those that scale a layer normalization are 1 and the others 0. */
function randomWeights(config: Readonly<Record<string, unknown>>, seed: number): Record<string, WritableTensor> {
  const network = encoderNetwork(config, 'config.json');
  const random = new Random(seed);
  const tensors: Record<string, WritableTensor> = {};
  for (const [name, shape] of network.weights()) {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    if (shape.length > 1) for (let i = 0; i < data.length; i++) data[i] = 0.02 * random.normal();
    else if (name.endsWith('.weight')) data.fill(1);
    tensors[name] = { shape, data };
  }
  return tensors;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
