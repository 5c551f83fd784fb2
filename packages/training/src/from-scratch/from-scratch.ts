// A new model for a domain: random weights, and a tokenizer that is learnt from its texts.
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
   * `config.json` of the encoder with the keys of transformers, as far as it is not the default. `vocab_size` is set
   * by the tokenizer.
   * @default a BERT of 4 layers, 256 wide, 4 heads; with another `model_type` that architecture in about the same
   * size, with `static-embedding` a StaticEmbedding of 256
   */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** Pieces of the tokenizer. @default 8000 */
  readonly vocabularySize?: number | undefined;
  /** A StaticEmbedding always takes the mean. @default 'mean' */
  readonly pooling?: PoolingMode | undefined;
  /** The most tokens of a text. @default 128 */
  readonly maxLength?: number | undefined;
  /**
   * How long the random vectors of tokens are. `equal`: about equally long. `idf`: in proportion to the token's
   * inverse document frequency in the texts, so that a StaticEmbedding begins as a bag of tokens weighted by idf,
   * which is a strong start: its cosine then goes by the rare tokens that two texts share.
   * @default `idf` for `static-embedding`, else `equal`
   */
  readonly tokenNorms?: 'equal' | 'idf' | undefined;
  /** Of the weights. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * A model for a domain that has no pretrained one: an encoder with random weights (normal with deviation 0.02, as
 * BERT's) and a WordPiece tokenizer learnt from the texts. A sentence-transformers folder in memory, to be trained.
 * @param texts what the tokenizer learns from
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
  // MPNet has its padding at 1, whatever its configuration says.
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
