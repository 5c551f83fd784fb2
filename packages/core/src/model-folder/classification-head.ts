/**
 * The heads that transformers puts on an encoder to give scores (`…ForSequenceClassification`), one for each family of
 * architectures: a pooling and dense layers, as any other head. Read from the weights of the encoder's own files.
 */
import { SentvecError } from '../errors.ts';
import { createPooling } from '../pooling/pooling.ts';
import type { Activation, Head, ModelFiles, PoolingMode, Projection } from '../types.ts';
import { readWeights, type Weights } from '../weights/read-weights.ts';
import { requireConfigFile, type ConfigFile } from './config-file.ts';

/** A step of a head, by the names of its tensors without their endings. */
type HeadStep =
  | { readonly kind: 'dense'; readonly name: string; readonly activation?: Activation | undefined }
  | { readonly kind: 'layer-norm'; readonly name: string; readonly epsilon: number };

interface HeadPlan {
  readonly pooling: PoolingMode;
  readonly steps: readonly HeadStep[];
}

type Planner = (config: ConfigFile) => HeadPlan;

const dense = (name: string, activation?: Activation): HeadStep => ({ kind: 'dense', name, activation });
const onFirstToken = (...steps: readonly HeadStep[]): HeadPlan => ({ pooling: 'cls', steps });

/** `hidden_act` of `config.json`, as far as a dense layer can have it. */
const activations: Readonly<Record<string, Activation>> = {
  gelu: 'GELU',
  relu: 'ReLU',
  silu: 'SiLU',
  swish: 'SiLU',
  tanh: 'Tanh',
  sigmoid: 'Sigmoid',
  mish: 'Mish',
  linear: 'Identity',
};

const pooler: Planner = () => onFirstToken(dense('pooler.dense', 'Tanh'), dense('classifier'));
const twoLayers =
  (activation: Activation): Planner =>
  () =>
    onFirstToken(dense('classifier.dense', activation), dense('classifier.out_proj'));
/** `LlamaForSequenceClassification` and its like. */
const lastToken: Planner = () => ({ pooling: 'lasttoken', steps: [dense('score')] });

/**
 * The token that pads, for a model that is scored by its last token: that is the last one of another id, wherever the mask
 * ends (`transformers/modeling_layers.py`). `undefined` for all others.
 */
export function paddingAfterLast(config: ConfigFile): number | undefined {
  return planners[config.string('model_type') ?? ''] === lastToken ? config.number('pad_token_id') : undefined;
}

/** By `model_type` of `config.json`: the classes `…ForSequenceClassification` of transformers 5.12. */
const planners: Readonly<Record<string, Planner>> = {
  albert: () => onFirstToken(dense('pooler', 'Tanh'), dense('classifier')),
  bert: pooler,
  camembert: twoLayers('Tanh'),
  'data2vec-text': twoLayers('Tanh'),
  'deberta-v2': (config) =>
    onFirstToken(dense('pooler.dense', activationOf(config, 'pooler_hidden_act', 'gelu')), dense('classifier')),
  distilbert: () => onFirstToken(dense('pre_classifier', 'ReLU'), dense('classifier')),
  electra: twoLayers('GELU'),
  ernie: pooler,
  gte: pooler,
  llama: lastToken,
  'megatron-bert': pooler,
  mistral: lastToken,
  modernbert: modernBert,
  mpnet: twoLayers('Tanh'),
  new: pooler,
  qwen2: lastToken,
  qwen3: lastToken,
  roberta: twoLayers('Tanh'),
  roformer: (config) => twoLayers(activationOf(config, 'hidden_act', 'gelu'))(config),
  squeezebert: pooler,
  'xlm-roberta': twoLayers('Tanh'),
  'xlm-roberta-xl': twoLayers('Tanh'),
};

function modernBert(config: ConfigFile): HeadPlan {
  const pooling = config.string('classifier_pooling') ?? 'cls';
  if (pooling !== 'cls' && pooling !== 'mean') throw unsupported(config, `the "classifier_pooling" "${pooling}"`);
  return {
    pooling,
    steps: [
      dense('head.dense', activationOf(config, 'classifier_activation', 'gelu')),
      { kind: 'layer-norm', name: 'head.norm', epsilon: config.number('norm_eps') ?? 1e-5 },
      dense('classifier'),
    ],
  };
}

/**
 * Reads the head of a folder that a class `…ForSequenceClassification` of transformers saved.
 * @throws SentvecError `unsupported-model` for an architecture whose head sentvec does not have; `invalid-model` when
 * tensors are missing or do not fit
 */
export async function readClassificationHead(files: ModelFiles): Promise<Head> {
  const config = await requireConfigFile(files, 'config.json');
  const { pooling, steps } = planHead(config);
  const weights = new HeadWeights(await readWeights(files), `${files.name}/model.safetensors`);
  return { pooling: createPooling(pooling), projections: steps.map((step) => weights.projection(step)) };
}

/** A layer of such a head: a part of its name, and the names of its tensors, as far as the weights have them. */
export interface HeadLayer {
  readonly kind: HeadStep['kind'];
  /** For example `pooler.dense`: the names of its tensors without a prefix and their endings. */
  readonly name: string;
  readonly weight: string | undefined;
  readonly bias: string | undefined;
}

/**
 * The layers of the head that the architecture of a folder has, one for each projection, whether its weights are there or
 * not.
 * @throws SentvecError `unsupported-model` for an architecture whose head sentvec does not have; `invalid-model`
 */
export async function classificationHeadLayers(files: ModelFiles): Promise<readonly HeadLayer[]> {
  const { steps } = planHead(await requireConfigFile(files, 'config.json'));
  const weights = new HeadWeights(await readWeights(files), `${files.name}/model.safetensors`);
  return steps.map(({ kind, name }) => ({
    kind,
    name,
    weight: weights.find(`${name}.weight`),
    bias: weights.find(`${name}.bias`),
  }));
}

/** @throws SentvecError `unsupported-model` for an architecture whose head sentvec does not have */
export function checkClassificationHead(config: ConfigFile): void {
  planHead(config);
}

function planHead(config: ConfigFile): HeadPlan {
  const modelType = config.string('model_type') ?? '';
  if (Object.hasOwn(planners, modelType)) return planners[modelType]!(config);
  throw unsupported(
    config,
    `the head of the model type "${modelType}"`,
    ` It has those of ${Object.keys(planners).join(', ')}.`,
  );
}

function activationOf(config: ConfigFile, key: string, byDefault: string): Activation {
  const name = config.string(key) ?? byDefault;
  if (Object.hasOwn(activations, name)) return activations[name]!;
  throw unsupported(config, `"${key}": "${name}" in a head`);
}

function unsupported({ file }: ConfigFile, what: string, choice = ''): SentvecError {
  return new SentvecError('unsupported-model', `${file} asks for ${what}, which sentvec does not have.${choice}`, {
    file,
  });
}

/** The tensors of a head: some are beside the encoder, some have its prefix (`bert.pooler.dense.weight`). */
class HeadWeights {
  readonly #weights: Weights;
  readonly #file: string;

  constructor(weights: Weights, file: string) {
    this.#weights = weights;
    this.#file = file;
  }

  projection(step: HeadStep): Projection {
    const { shape, data } = this.#tensor(`${step.name}.weight`);
    const [rows = 0, cols] = shape;
    const biasName = `${step.name}.bias`;
    const bias = this.find(biasName) === undefined ? undefined : this.#tensor(biasName).data;
    if (bias !== undefined && bias.length !== rows) throw this.#misshapen(`${step.name}.bias`);
    if (step.kind === 'layer-norm') {
      if (cols !== undefined) throw this.#misshapen(`${step.name}.weight`);
      return { kind: 'layer-norm', weight: data, bias: bias ?? new Float32Array(rows), epsilon: step.epsilon };
    }
    if (cols === undefined || shape.length !== 2) throw this.#misshapen(`${step.name}.weight`);
    return {
      kind: 'dense',
      weight: { data, rows, cols },
      ...(bias && { bias }),
      activation: step.activation ?? 'Identity',
    };
  }

  #tensor(name: string): { readonly shape: readonly number[]; readonly data: Float32Array } {
    const found = this.find(name);
    if (found !== undefined) return this.#weights.tensor(found);
    throw new SentvecError(
      'invalid-model',
      `${this.#file} has no tensor "${name}", which is part of the head that config.json calls for. Was the model saved as a reranker, and is the file complete?`,
      { file: this.#file, tensor: name },
    );
  }

  /** The name that the weights have a tensor by. */
  find(name: string): string | undefined {
    if (this.#weights.has(name)) return name;
    return this.#weights
      .names()
      .find((each) => each.endsWith(`.${name}`) && each.split('.').length === name.split('.').length + 1);
  }

  #misshapen(tensor: string): SentvecError {
    const message = `${this.#file}: the tensor "${tensor}" of the head has another shape than such a head has.`;
    return new SentvecError('invalid-model', message, { file: this.#file, tensor });
  }
}
