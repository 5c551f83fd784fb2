/**
 * Makes rerankers, sparse embedders and late-interaction models from an encoder: it keeps the weights of the encoder
 * and adds a head to be trained. The result is a model folder in memory, in the layout of sentence-transformers 6.
 */
import { readEncoder, type EncoderDefinition } from '@sentvec/architectures';
import {
  classificationHeadLayers,
  memoryModel,
  readJsonObject,
  readModelFolder,
  readWeights,
  SentvecError,
  writeSafetensors,
  type Head,
  type ModelFiles,
  type WritableTensor,
} from '@sentvec/core';
import { checkCount, checkOptionNames } from '@sentvec/platform';
import { Random } from '../random.ts';
import { json, type FolderFiles } from './static-folder.ts';

/** The class name of a reranker in transformers, and the prefix of the names of its encoder's weights. */
interface ClassificationClass {
  readonly name: string;
  readonly prefix: string;
}

/** By `model_type`: the classes `…ForSequenceClassification` of transformers 5.12 whose heads sentvec can read. */
const classes: Readonly<Record<string, ClassificationClass>> = {
  albert: { name: 'Albert', prefix: 'albert' },
  bert: { name: 'Bert', prefix: 'bert' },
  camembert: { name: 'Camembert', prefix: 'roberta' },
  'data2vec-text': { name: 'Data2VecText', prefix: 'data2vec_text' },
  'deberta-v2': { name: 'DebertaV2', prefix: 'deberta' },
  distilbert: { name: 'DistilBert', prefix: 'distilbert' },
  electra: { name: 'Electra', prefix: 'electra' },
  ernie: { name: 'Ernie', prefix: 'ernie' },
  'megatron-bert': { name: 'MegatronBert', prefix: 'bert' },
  modernbert: { name: 'ModernBert', prefix: 'model' },
  mpnet: { name: 'MPNet', prefix: 'mpnet' },
  roberta: { name: 'Roberta', prefix: 'roberta' },
  roformer: { name: 'RoFormer', prefix: 'roformer' },
  squeezebert: { name: 'SqueezeBert', prefix: 'transformer' },
  'xlm-roberta': { name: 'XLMRoberta', prefix: 'roberta' },
  'xlm-roberta-xl': { name: 'XLMRobertaXL', prefix: 'roberta' },
};

/** Names of head layers that transformers stores inside the encoder. */
const insideEncoder = /^pooler(?:\.|$)/u;

/** File names of a tokenizer. */
export const tokenizerFiles: readonly RegExp[] = [
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|unigram|chat_template)\.json$/,
  /^(vocab\.txt|merges\.txt|chat_template\.jinja|.+\.model)$/,
];

/** File names of a licence. The licence of the base model applies to models made from it. */
export const licenceFiles: RegExp = /^(LICEN[CS]E|NOTICE|COPYING)/iu;

/** Options of {@link withFreshScores}. */
export interface FreshScoresOptions {
  /** Names of the labels that the model scores. @default ['LABEL_0'] */
  readonly labels?: readonly string[] | undefined;
  /** Seed of the random weights. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * Makes a reranker: the weights of an encoder and a new classification head. The head is initialized as in
 * transformers, with normal weights of standard deviation 0.02. Head layers that the folder already has, such as BERT's
 * pooler, keep their weights. A reranker of the default model's architecture begins as the embedder's cosine.
 * @param files a folder of an embedder or of a plain encoder
 * @throws SentvecError `unsupported-model` for an architecture without such a head
 */
export async function withFreshScores(files: ModelFiles, options: FreshScoresOptions = {}): Promise<ModelFiles> {
  checkOptionNames('withFreshScores()', options, { labels: true, seed: true });
  const { labels = ['LABEL_0'], seed = 42 } = options;
  const base = await readBase(files);
  const { encoderFiles, definition, config, carried, reading } = base;
  const modelType = definition.modelType;
  if (modelType === 'universal-sentence-encoder-lite') return withComparison(files, base, labels, seed);
  // Throws for an architecture without a classification head, and lists those that have one.
  const layers = await classificationHeadLayers(encoderFiles);
  const ofClass = Object.hasOwn(classes, modelType) ? classes[modelType] : undefined;
  if (ofClass === undefined)
    throw new SentvecError(
      'unsupported-model',
      `sentvec cannot put a new head on the model type "${modelType}". Train a folder that is a reranker already, or an encoder of the types ${Object.keys(classes).join(', ')}.`,
      { file: files.name },
    );
  const tensors = encoderTensors(definition, `${ofClass.prefix}.`);
  const stored = await readWeights(encoderFiles);
  const random = new Random(seed);
  const width = definition.hiddenSize;
  for (const [index, { kind, name, weight, bias }] of layers.entries()) {
    const isLast = index === layers.length - 1;
    const isInside = insideEncoder.test(name) && modelType !== 'deberta-v2';
    const full = isInside ? `${ofClass.prefix}.${name}` : name;
    const rows = isLast ? labels.length : width;
    const shape = kind === 'layer-norm' ? [rows] : [rows, width];
    const known = weight !== undefined && !isLast ? stored.tensor(weight) : undefined;
    if (known !== undefined && known.shape.join() === shape.join()) {
      tensors[`${full}.weight`] = known;
      if (bias !== undefined) tensors[`${full}.bias`] = stored.tensor(bias);
      continue;
    }
    tensors[`${full}.weight`] = kind === 'layer-norm' ? ones(shape) : normal(shape, random);
    if (hasBias(config, modelType, kind, isLast)) tensors[`${full}.bias`] = zeros([rows]);
  }
  const numbered = labels.map((label, id) => [String(id), label] as const);
  return memoryModel(files.name, {
    ...carried,
    'config.json': await configLike(encoderFiles, {
      ...floatConfig(config),
      architectures: [`${ofClass.name}ForSequenceClassification`],
      id2label: Object.fromEntries(numbered),
      label2id: Object.fromEntries(numbered.map(([id, label]) => [label, Number(id)])),
    }),
    'model.safetensors': writeSafetensors(tensors, { format: 'pt' }),
    'modules.json': modules(['', 'base.modules.transformer.Transformer']),
    'sentence_bert_config.json': json({
      ...reading,
      transformer_task: 'sequence-classification',
      modality_config: { text: { method: 'forward', method_output_name: 'logits' } },
      module_output_name: 'scores',
    }),
    'config_sentence_transformers.json': json({
      model_type: 'CrossEncoder',
      activation_fn: `torch.nn.modules.${labels.length === 1 ? 'activation.Sigmoid' : 'linear.Identity'}`,
      default_prompt_name: null,
      prompts: {},
    }),
  });
}

/** Outputs of the layer that a comparison of texts grows in between. */
const comparisonSize = 256;

/**
 * A reranker of the default model's architecture, in the modular form of sentence-transformers 6: each token is compared
 * with the other text, the mean over all tokens goes through a dense layer. At first the score is the sigmoid of 8 times
 * the cosine of the embedder, less 4: the new layer attends to all tokens alike, and has the weights of the embedder's
 * dense layer.
 */
async function withComparison(
  files: ModelFiles,
  { encoderFiles, definition, config, carried, reading, head }: BaseEncoder,
  labels: readonly string[],
  seed: number,
): Promise<ModelFiles> {
  if (labels.length !== 1)
    throw new SentvecError(
      'unsupported-model',
      `A reranker of the model type "${definition.modelType}" gives one score for a pair, not ${labels.length}: ${labels.join(', ')}. Train with one label, such as 1 for entailment and 0 for all else.`,
      { file: files.name },
    );
  const random = new Random(seed);
  const { hiddenSize: width, network } = definition;
  const embeddingSize = network.weights.get(network.tokenTable)!.shape[1]!;
  const [dense] = head.projections;
  const known =
    dense?.kind === 'dense' && dense.weight.rows === width && dense.weight.cols === width ? dense : undefined;
  const linear = (name: string, rows: number, cols: number, deviation: number): Record<string, WritableTensor> => ({
    [`comparison.${name}.weight`]: normal([rows, cols], random, deviation),
    [`comparison.${name}.bias`]: zeros([rows]),
  });
  const tensors: Record<string, WritableTensor> = {
    ...encoderTensors(definition, ''),
    'comparison.LayerNorm.weight': ones([width]),
    'comparison.LayerNorm.bias': zeros([width]),
    // Scores of attention that are all 0 at first, and have gradients.
    ...linear('query', width, width, 0),
    ...linear('key', width, width, 1 / Math.sqrt(width)),
    'comparison.dense.weight': known ? { shape: [width, width], data: known.weight.data } : identity(width),
    'comparison.dense.bias': known?.bias ? { shape: [width], data: known.bias } : zeros([width]),
    ...linear('intermediate', comparisonSize, width + 3 * embeddingSize, 1 / Math.sqrt(width + 3 * embeddingSize)),
    ...linear('output', width, comparisonSize, 0.002),
  };
  const tokenizer = (await readJsonObject(encoderFiles, 'tokenizer.json'))!;
  const tokenizerConfig = (await readJsonObject(encoderFiles, 'tokenizer_config.json')) ?? {};
  const scores = new Float32Array(width).fill(8 / width);
  return memoryModel(files.name, {
    ...carried,
    'tokenizer.json': json({ ...tokenizer, post_processor: tokenizer['post_processor'] ?? bareTexts }),
    'tokenizer_config.json': json({
      ...tokenizerConfig,
      model_input_names: ['input_ids', 'token_type_ids', 'attention_mask'],
    }),
    'config.json': await configLike(encoderFiles, {
      ...floatConfig(config),
      type_vocab_size: 2,
      comparison_size: comparisonSize,
    }),
    'model.safetensors': writeSafetensors(tensors, { format: 'pt' }),
    'modules.json': modules(
      ['', 'base.modules.transformer.Transformer'],
      ['1_Pooling', 'sentence_transformer.modules.pooling.Pooling'],
      ['2_Dense', 'base.modules.dense.Dense'],
    ),
    'sentence_bert_config.json': json({
      ...reading,
      transformer_task: 'feature-extraction',
      modality_config: { text: { method: 'forward', method_output_name: 'last_hidden_state' } },
      module_output_name: 'token_embeddings',
    }),
    '1_Pooling/config.json': json({ embedding_dimension: width, pooling_mode: 'mean', include_prompt: true }),
    '2_Dense/config.json': json({
      in_features: width,
      out_features: 1,
      bias: true,
      activation_function: 'torch.nn.modules.linear.Identity',
      module_input_name: 'sentence_embedding',
      module_output_name: 'scores',
    }),
    '2_Dense/model.safetensors': writeSafetensors(
      {
        'linear.weight': { shape: [1, width], data: scores },
        'linear.bias': { shape: [1], data: Float32Array.of(-4) },
      },
      { format: 'pt' },
    ),
    'config_sentence_transformers.json': json({
      model_type: 'CrossEncoder',
      activation_fn: 'torch.nn.modules.activation.Sigmoid',
      default_prompt_name: null,
      prompts: {},
    }),
  });
}

/** Texts without special tokens, which the types of the tokens tell apart. */
const bareTexts = {
  type: 'TemplateProcessing',
  single: [{ Sequence: { id: 'A', type_id: 0 } }],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: {},
};

/**
 * Makes a sparse embedder from a masked language model: max pooling over the token logits of a text (SPLADE: Formal et
 * al., 2021). All weights are those of the model.
 * @param files a folder of transformers (`…ForMaskedLM`)
 * @throws SentvecError `invalid-model` for an encoder without a masked-language-model head
 */
export async function withTermWeights(files: ModelFiles): Promise<ModelFiles> {
  const { encoderFiles, config, definition, carried, reading } = await readBase(files);
  const sparse = await readEncoder(
    withConfig(encoderFiles, { ...config, term_weights: { pooling_strategy: 'max', activation_function: 'relu' } }),
  ).catch((cause: unknown) => {
    if (!SentvecError.is(cause, 'invalid-model')) throw cause;
    throw new SentvecError(
      'invalid-model',
      `${files.name} has no masked-language-model head, which a sparse embedder needs. Use a model of a class …ForMaskedLM, such as bert-base-uncased. ${cause.message}`,
      { file: files.name },
      { cause },
    );
  });
  const tensors: Record<string, WritableTensor> = {};
  for (const [name, shape] of sparse.weights)
    for (const storedName of sparse.storedNames(name)) tensors[storedName] = { shape, data: sparse.weight(name) };
  return memoryModel(files.name, {
    ...carried,
    'config.json': await configLike(encoderFiles, floatConfig(config)),
    'model.safetensors': writeSafetensors(tensors, { format: 'pt' }),
    'modules.json': modules(
      ['', 'base.modules.transformer.Transformer'],
      ['1_SpladePooling', 'sparse_encoder.modules.splade_pooling.SpladePooling'],
    ),
    'sentence_bert_config.json': json({
      ...reading,
      transformer_task: 'fill-mask',
      modality_config: { text: { method: 'forward', method_output_name: 'logits' } },
      module_output_name: 'token_embeddings',
    }),
    '1_SpladePooling/config.json': json({
      pooling_strategy: 'max',
      activation_function: 'relu',
      embedding_dimension: definition.vocabularySize,
    }),
    'config_sentence_transformers.json': settingsOf('SparseEncoder', 'dot'),
  });
}

/** Options of {@link withTokenVectors}. */
export interface TokenVectorOptions {
  /** Dimension of a token's vector. @default 128 */
  readonly dimension?: number | undefined;
  /** Maximum tokens of a query. @default 32 */
  readonly queryLength?: number | undefined;
  /** Maximum tokens of a document. @default 180 */
  readonly documentLength?: number | undefined;
  /** Seed of the random weights. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * Makes a late-interaction model: the weights of an encoder and a new linear layer that reduces the dimension of token
 * vectors (ColBERT: Khattab and Zaharia, 2020). Punctuation tokens of documents are masked.
 * @param files a folder of an embedder or of a plain encoder
 * @throws SentvecError `unsupported-model`, `invalid-argument`
 */
export async function withTokenVectors(files: ModelFiles, options: TokenVectorOptions = {}): Promise<ModelFiles> {
  checkOptionNames('withTokenVectors()', options, {
    dimension: true,
    queryLength: true,
    documentLength: true,
    seed: true,
  });
  const { dimension = 128, queryLength = 32, documentLength = 180, seed = 42 } = options;
  for (const [name, value] of Object.entries({ dimension, queryLength, documentLength }))
    if (value !== undefined) checkCount(value, name);
  const { encoderFiles, definition, config, carried, reading } = await readBase(files);
  const { hiddenSize } = definition;
  const longest = Math.min(definition.maxPositions, reading.max_seq_length ?? Infinity);
  const random = new Random(seed);
  const bound = 1 / Math.sqrt(hiddenSize);
  const data = Float32Array.from({ length: dimension * hiddenSize }, () => (2 * random.uniform() - 1) * bound);
  const ofTokens = { module_input_name: 'token_embeddings', module_output_name: 'token_embeddings' };
  return memoryModel(files.name, {
    ...carried,
    'config.json': await configLike(encoderFiles, floatConfig(config)),
    'model.safetensors': writeSafetensors(encoderTensors(definition, ''), { format: 'pt' }),
    'modules.json': modules(
      ['', 'base.modules.transformer.Transformer'],
      ['1_Dense', 'base.modules.dense.Dense'],
      ['2_MultiVectorMask', 'multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask'],
      ['3_Normalize', 'base.modules.normalize.Normalize'],
    ),
    'sentence_bert_config.json': json({
      ...reading,
      transformer_task: 'feature-extraction',
      modality_config: { text: { method: 'forward', method_output_name: 'last_hidden_state' } },
      module_output_name: 'token_embeddings',
      query_length: Math.min(queryLength, longest),
      document_length: Math.min(documentLength, longest),
    }),
    '1_Dense/config.json': json({
      in_features: hiddenSize,
      out_features: dimension,
      bias: false,
      activation_function: 'torch.nn.modules.linear.Identity',
      ...ofTokens,
    }),
    '1_Dense/model.safetensors': writeSafetensors(
      { 'linear.weight': { shape: [dimension, hiddenSize], data } },
      { format: 'pt' },
    ),
    '2_MultiVectorMask/config.json': json({
      skiplist_words: Array.from(punctuation),
      skiplist_tasks: ['document'],
      keep_only_token_ids: null,
    }),
    '3_Normalize/config.json': json(ofTokens),
    'config_sentence_transformers.json': settingsOf('MultiVectorEncoder', 'maxsim'),
  });
}

/** `string.punctuation` of Python. */
const punctuation = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

function settingsOf(modelType: string, similarity: string): string {
  const prompts = { query: '', document: '' };
  return json({ model_type: modelType, similarity_fn_name: similarity, default_prompt_name: null, prompts });
}

/** The same files with another `config.json`. */
function withConfig(files: ModelFiles, config: unknown): ModelFiles {
  const content = new TextEncoder().encode(json(config));
  return {
    name: files.name,
    list: () => files.list(),
    read: async (path) => (path === 'config.json' ? content : files.read(path)),
  };
}

/** Whether a layer of a head has a bias. ModernBERT's configuration decides; other heads always have one. */
function hasBias(
  config: Readonly<Record<string, unknown>>,
  modelType: string,
  kind: 'dense' | 'layer-norm',
  isLast: boolean,
): boolean {
  if (modelType !== 'modernbert' || isLast) return true;
  return config[kind === 'dense' ? 'classifier_bias' : 'norm_bias'] === true;
}

/** The encoder that gets a new head. */
interface BaseEncoder {
  readonly encoderFiles: ModelFiles;
  readonly definition: EncoderDefinition;
  readonly head: Head;
  readonly config: Readonly<Record<string, unknown>>;
  /** Files that stay as they are: those of the tokenizer, and the licence. */
  readonly carried: FolderFiles;
  /** Keys of `sentence_bert_config.json`: truncation and lower case. */
  readonly reading: { readonly max_seq_length?: number; readonly do_lower_case?: true };
}

/** @throws SentvecError `unsupported-model` for a static model, `invalid-model` */
async function readBase(files: ModelFiles): Promise<BaseEncoder> {
  const { encoder, encoderFiles, maxLength, lowerCase, head } = await readModelFolder(files);
  if (encoder === 'static')
    throw new SentvecError(
      'unsupported-model',
      `${files.name} is a static embedding, which has no encoder for a new head. Use a model with a transformer.`,
      { file: files.name },
    );
  const definition = await readEncoder(encoderFiles);
  const reading = {
    ...(maxLength === undefined ? {} : { max_seq_length: maxLength }),
    ...(lowerCase ? { do_lower_case: true as const } : {}),
  };
  const carried = {
    ...(await filesNamed(encoderFiles, tokenizerFiles)),
    ...(await licenceOf(files, encoderFiles)),
  };
  const config = (await readJsonObject(encoderFiles, 'config.json'))!;
  return { encoderFiles, definition, head, config, carried, reading };
}

function encoderTensors(definition: EncoderDefinition, prefix: string): Record<string, WritableTensor> {
  const named = [...definition.weights].map(([name, shape]): [string, WritableTensor] => [
    `${prefix}${name}`,
    { shape, data: definition.weight(name) },
  ]);
  return Object.fromEntries(named);
}

/** The licence files of a base model, from the root of its folder and from the folder of its encoder. */
export async function licenceOf(files: ModelFiles, encoderFiles: ModelFiles): Promise<FolderFiles> {
  return { ...(await filesNamed(encoderFiles, [licenceFiles])), ...(await filesNamed(files, [licenceFiles])) };
}

async function filesNamed(files: ModelFiles, patterns: readonly RegExp[]): Promise<FolderFiles> {
  const names = (await files.list()).filter((name) => !name.includes('/') && patterns.some((each) => each.test(name)));
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await files.read(name)] as const)));
}

/** The configuration of an encoder after its weights were converted to float32. */
function floatConfig(config: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { quantization_config: _, torch_dtype: __, auto_map: ___, ...rest } = config;
  return { ...rest, dtype: 'float32' };
}

/** Writes a `config.json` with the number format (2 or 2.0) of the `config.json` in `files`. */
export async function configLike(files: ModelFiles, config: unknown): Promise<string> {
  return json(config, new TextDecoder().decode(await files.read('config.json')));
}

/** Content of `modules.json`. */
function modules(...entries: readonly (readonly [path: string, type: string])[]): string {
  return json(
    entries.map(([path, type], idx) => ({ idx, name: String(idx), path, type: `sentence_transformers.${type}` })),
  );
}

function normal(shape: readonly number[], random: Random, deviation = 0.02): WritableTensor {
  const data = Float32Array.from({ length: sizeOf(shape) }, () => deviation * random.normal());
  return { shape, data };
}

function ones(shape: readonly number[]): WritableTensor {
  return { shape, data: new Float32Array(sizeOf(shape)).fill(1) };
}

function identity(width: number): WritableTensor {
  const data = Float32Array.from({ length: width * width }, (_, index) => Number(index % (width + 1) === 0));
  return { shape: [width, width], data };
}

function zeros(shape: readonly number[]): WritableTensor {
  return { shape, data: new Float32Array(sizeOf(shape)) };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
