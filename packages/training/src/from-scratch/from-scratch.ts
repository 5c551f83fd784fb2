// Makes a new embedder for a domain: random weights, and a tokenizer trained on texts of the domain.
import { encoderNetwork } from '@sentvec/architectures';
import {
  memoryModel,
  readTokenizerDefinition,
  writeSafetensors,
  type ModelFiles,
  type PoolingMode,
} from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import { defaultConfig } from './default-config.ts';
import { inverseDocumentFrequencies, randomWeights, scaleRows } from './initial-weights.ts';
import { json, moduleEntry, settings, staticFolder } from './static-folder.ts';
import { trainWordPiece } from './word-piece-trainer.ts';

/** Options of {@link fromScratch}. */
export interface FromScratchOptions {
  /**
   * Keys of the encoder's `config.json`, named as in transformers; they override the defaults. `vocab_size` is always
   * the size of the tokenizer's vocabulary.
   * @default a BERT with 4 layers, hidden size 256 and 4 heads; another `model_type` gives that architecture in about
   * the same size, `static-embedding` a StaticEmbedding of dimension 256
   */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** Maximum size of the tokenizer's vocabulary. @default 8000 */
  readonly vocabularySize?: number | undefined;
  /** A StaticEmbedding always uses mean pooling. @default 'mean' */
  readonly pooling?: PoolingMode | undefined;
  /** Maximum tokens of a text. @default 128 */
  readonly maxLength?: number | undefined;
  /**
   * Norms of the random token vectors. `equal`: all about the same. `idf`: proportional to the inverse document
   * frequency of the token in the texts. An untrained StaticEmbedding is then an idf-weighted bag of tokens: the cosine
   * of two texts depends on the rare tokens that they share.
   * @default `idf` for `static-embedding`, else `equal`
   */
  readonly tokenNorms?: 'equal' | 'idf' | undefined;
  /** Seed of the weights. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * Makes an untrained model, for a domain without a pretrained one: an encoder with random weights (normal with standard
 * deviation 0.02, as in BERT) and a WordPiece tokenizer trained on the texts. The result is a sentence-transformers
 * folder in memory.
 * @param texts the texts that the tokenizer is trained on
 * @throws SentvecError `invalid-argument`, `unsupported-model` for a `model_type` that sentvec does not have
 */
export async function fromScratch(
  name: string,
  texts: Iterable<string>,
  options: FromScratchOptions = {},
): Promise<ModelFiles> {
  checkOptionNames('fromScratch()', options, {
    config: true,
    vocabularySize: true,
    pooling: true,
    maxLength: true,
    tokenNorms: true,
    seed: true,
  });
  const { pooling = 'mean', maxLength = 128, seed = 42, vocabularySize } = options;
  checkCount(maxLength, 'maxLength');
  const corpus = [...texts];
  const asked = options.config?.['model_type'];
  const modelType = typeof asked === 'string' ? asked : 'bert';
  const vocabulary = trainWordPiece(corpus, vocabularySize === undefined ? {} : { size: vocabularySize });
  // MPNet's padding id is 1, whatever its configuration says.
  if (modelType === 'mpnet') vocabulary.splice(0, 2, '[UNK]', '[PAD]');
  const config = { ...defaultConfig(modelType, maxLength), ...options.config, vocab_size: vocabulary.length };
  const tokenizer = {
    'vocab.txt': `${vocabulary.join('\n')}\n`,
    'tokenizer_config.json': json({
      tokenizer_class: 'BertTokenizer',
      do_lower_case: true,
      model_max_length: maxLength,
    }),
  };
  const definition = await readTokenizerDefinition(memoryModel(name, tokenizer), {});
  const isStatic = modelType === 'static-embedding';
  const network = await encoderNetwork(config);
  const weights = randomWeights(network, seed);
  if ((options.tokenNorms ?? (isStatic ? 'idf' : 'equal')) === 'idf') {
    const idf = await inverseDocumentFrequencies(definition, corpus, vocabulary.length);
    scaleRows(weights[network.tokenTable]!, idf);
  }
  const files = { ...tokenizer, 'model.safetensors': writeSafetensors(weights, { format: 'pt' }) };
  if (isStatic) return memoryModel(name, staticFolder(definition.json, files));
  return memoryModel(name, {
    ...files,
    'tokenizer.json': json(definition.json),
    'config.json': json(config),
    'modules.json': json([
      moduleEntry(0, '', 'Transformer'),
      moduleEntry(1, '1_Pooling', 'Pooling'),
      moduleEntry(2, '2_Normalize', 'Normalize'),
    ]),
    '1_Pooling/config.json': json({
      word_embedding_dimension: network.hiddenSize,
      pooling_mode: pooling,
      include_prompt: true,
    }),
    'sentence_bert_config.json': json({ max_seq_length: maxLength, do_lower_case: false }),
    'config_sentence_transformers.json': settings(),
  });
}
