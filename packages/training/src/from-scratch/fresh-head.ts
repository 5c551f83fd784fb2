/**
 * Folders of rerankers, sparse models and models of late interaction that are made of an encoder: its weights, and a head
 * that is to be trained. In the layout of sentence-transformers 6, in memory.
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
  type ModelFiles,
  type WritableTensor,
} from '@sentvec/core';
import { Random } from '../random.ts';
import { json, type FolderFiles } from './static-folder.ts';

/** How transformers calls the class of a reranker, and what stands before the names of its encoder's weights. */
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

/** Heads whose first layer belongs to the encoder, by what its name begins with. */
const insideEncoder = /^pooler(?:\.|$)/u;

/** Files of a tokenizer, beside `config.json`. */
export const tokenizerFiles: readonly RegExp[] = [
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|unigram|chat_template)\.json$/,
  /^(vocab\.txt|merges\.txt|chat_template\.jinja|.+\.model)$/,
];

/** Options of {@link withFreshScores}. */
export interface FreshScoresOptions {
  /** Names of what the model gives a score for. @default ['LABEL_0'] */
  readonly labels?: readonly string[] | undefined;
  /** Of the random weights. @default 42 */
  readonly seed?: number | undefined;
}

/**
 * A reranker of an encoder's weights and a head of random ones, as transformers begins with: normal with deviation 0.02.
 * Layers of the head that the encoder's file has already, BERT's pooler for example, keep their weights.
 * @param files an embedder, or a plain folder of an encoder
 * @throws SentvecError `unsupported-model` for an architecture without such a head
 */
export async function withFreshScores(files: ModelFiles, options: FreshScoresOptions = {}): Promise<ModelFiles> {
  const { labels = ['LABEL_0'], seed = 42 } = options;
  const { encoderFiles, definition, config } = await readBase(files);
  const modelType = definition.modelType;
  // Refuses an architecture without a head, with the names of those that have one.
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
    ...(await tokenizerOf(encoderFiles)),
    'config.json': await configLike(encoderFiles, {
      ...floatConfig(config),
      architectures: [`${ofClass.name}ForSequenceClassification`],
      id2label: Object.fromEntries(numbered),
      label2id: Object.fromEntries(numbered.map(([id, label]) => [label, Number(id)])),
    }),
    'model.safetensors': writeSafetensors(tensors, { format: 'pt' }),
    'modules.json': modules(['', 'base.modules.transformer.Transformer']),
    'sentence_bert_config.json': json({
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

/** Whether a layer of a head has a bias: ModernBERT's say so in the configuration. */
function hasBias(
  config: Readonly<Record<string, unknown>>,
  modelType: string,
  kind: 'dense' | 'layer-norm',
  isLast: boolean,
): boolean {
  if (modelType !== 'modernbert' || isLast) return true;
  return config[kind === 'dense' ? 'classifier_bias' : 'norm_bias'] === true;
}

/** The encoder that a new head is put on. */
interface BaseEncoder {
  readonly encoderFiles: ModelFiles;
  readonly definition: EncoderDefinition;
  readonly config: Readonly<Record<string, unknown>>;
}

/** @throws SentvecError `unsupported-model` for a static model, `invalid-model` */
async function readBase(files: ModelFiles): Promise<BaseEncoder> {
  const { encoder, encoderFiles } = await readModelFolder(files);
  if (encoder === 'static')
    throw new SentvecError(
      'unsupported-model',
      `${files.name} is a static embedding, which has no encoder to put another head on. Take a model with a transformer.`,
      { file: files.name },
    );
  const definition = await readEncoder(encoderFiles);
  return { encoderFiles, definition, config: (await readJsonObject(encoderFiles, 'config.json'))! };
}

function encoderTensors(definition: EncoderDefinition, prefix: string): Record<string, WritableTensor> {
  const named = [...definition.weights].map(([name, shape]): [string, WritableTensor] => [
    `${prefix}${name}`,
    { shape, data: definition.weight(name) },
  ]);
  return Object.fromEntries(named);
}

async function tokenizerOf(files: ModelFiles): Promise<FolderFiles> {
  const names = (await files.list()).filter((name) => tokenizerFiles.some((each) => each.test(name)));
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await files.read(name)] as const)));
}

/** The configuration of an encoder whose weights are float32 now, and have no adapters. */
function floatConfig(config: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { quantization_config: _, torch_dtype: __, auto_map: ___, ...rest } = config;
  return { ...rest, dtype: 'float32' };
}

/** A `config.json` that follows from that of the files. */
export async function configLike(files: ModelFiles, config: unknown): Promise<string> {
  return json(config, new TextDecoder().decode(await files.read('config.json')));
}

/** `modules.json`, of folders and the classes of their modules. */
function modules(...entries: readonly (readonly [path: string, type: string])[]): string {
  return json(
    entries.map(([path, type], idx) => ({ idx, name: String(idx), path, type: `sentence_transformers.${type}` })),
  );
}

function normal(shape: readonly number[], random: Random): WritableTensor {
  const data = Float32Array.from({ length: sizeOf(shape) }, () => 0.02 * random.normal());
  return { shape, data };
}

function ones(shape: readonly number[]): WritableTensor {
  return { shape, data: new Float32Array(sizeOf(shape)).fill(1) };
}

function zeros(shape: readonly number[]): WritableTensor {
  return { shape, data: new Float32Array(sizeOf(shape)) };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
