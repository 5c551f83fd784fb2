/**
 * The classification heads of transformers (`…ForSequenceClassification`), which compute scores from an encoder's
 * output. Each family of architectures has its own: a pooling and dense layers, like any other head. Their weights are
 * in the encoder's own files.
 */
import { SentvecError } from '../errors.ts';
import { createPooling } from '../pooling/pooling.ts';
import type { Activation, Head, ModelFiles, PoolingMode, Projection } from '../types.ts';
import { readWeights, type Weights } from '../weights/read-weights.ts';
import { requireConfigFile, type ConfigFile } from './config-file.ts';

/** A layer of a head; `name` is the name of its tensors without `.weight` or `.bias`. */
type PlannedLayer =
  | { readonly kind: 'dense'; readonly name: string; readonly activation?: Activation | undefined }
  | { readonly kind: 'layer-norm'; readonly name: string; readonly epsilon: number };

interface HeadPlan {
  readonly pooling: PoolingMode;
  readonly layers: readonly PlannedLayer[];
}

type Planner = (config: ConfigFile) => HeadPlan;

const dense = (name: string, activation?: Activation): PlannedLayer => ({ kind: 'dense', name, activation });
const onClsToken = (...layers: readonly PlannedLayer[]): HeadPlan => ({ pooling: 'cls', layers });

/** Activations by their names in `config.json`, such as in `hidden_act`. */
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

const pooler: Planner = () => onClsToken(dense('pooler.dense', 'Tanh'), dense('classifier'));
const twoLayers =
  (activation: Activation): Planner =>
  () =>
    onClsToken(dense('classifier.dense', activation), dense('classifier.out_proj'));
/** `LlamaForSequenceClassification` and other decoder models. */
const lastToken: Planner = () => ({ pooling: 'lasttoken', layers: [dense('score')] });

/**
 * Id of the padding token, for a model that is scored by its last token. As in transformers (`modeling_layers.py`), the
 * last token is the last one whose id differs from this one, regardless of the attention mask. `undefined` for all
 * other models.
 */
export function paddingAfterLast(config: ConfigFile): number | undefined {
  return planners[config.string('model_type') ?? ''] === lastToken ? config.number('pad_token_id') : undefined;
}

/** By `model_type` of `config.json`: the classes `…ForSequenceClassification` of transformers 5.12. */
const planners: Readonly<Record<string, Planner>> = {
  albert: () => onClsToken(dense('pooler', 'Tanh'), dense('classifier')),
  bert: pooler,
  camembert: twoLayers('Tanh'),
  'data2vec-text': twoLayers('Tanh'),
  'deberta-v2': (config) =>
    onClsToken(dense('pooler.dense', activationOf(config, 'pooler_hidden_act', 'gelu')), dense('classifier')),
  distilbert: () => onClsToken(dense('pre_classifier', 'ReLU'), dense('classifier')),
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
    layers: [
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
  const { pooling, layers } = planHead(config);
  const weights = new HeadWeights(await readWeights(files), `${files.name}/model.safetensors`);
  return { pooling: createPooling(pooling), projections: layers.map((step) => weights.projection(step)) };
}

/** A layer of a classification head, and the names of its tensors in the weights (`undefined` for missing ones). */
export interface HeadLayer {
  readonly kind: PlannedLayer['kind'];
  /**
   * For example `pooler.dense`: the name of its tensors without the encoder's prefix and without `.weight` or `.bias`.
   */
  readonly name: string;
  readonly weight: string | undefined;
  readonly bias: string | undefined;
}

/**
 * The layers of the classification head of a folder's architecture, one for each projection, even if the weights do not
 * contain them.
 * @throws SentvecError `unsupported-model` for an architecture whose head sentvec does not have; `invalid-model`
 */
export async function classificationHeadLayers(files: ModelFiles): Promise<readonly HeadLayer[]> {
  const { layers } = planHead(await requireConfigFile(files, 'config.json'));
  const weights = new HeadWeights(await readWeights(files), `${files.name}/model.safetensors`);
  return layers.map(({ kind, name }) => ({
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
    ` Supported model types are ${Object.keys(planners).join(', ')}.`,
  );
}

function activationOf(config: ConfigFile, key: string, byDefault: string): Activation {
  const name = config.string(key) ?? byDefault;
  if (Object.hasOwn(activations, name)) return activations[name]!;
  throw unsupported(config, `"${key}": "${name}" in a head`);
}

function unsupported({ file }: ConfigFile, what: string, choice = ''): SentvecError {
  return new SentvecError('unsupported-model', `${file} requires ${what}, which sentvec does not support.${choice}`, {
    file,
  });
}

/** The tensors of a head. Some names have the encoder's prefix (`bert.pooler.dense.weight`), others do not. */
class HeadWeights {
  readonly #weights: Weights;
  readonly #file: string;

  constructor(weights: Weights, file: string) {
    this.#weights = weights;
    this.#file = file;
  }

  projection(step: PlannedLayer): Projection {
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
      `${this.#file} has no tensor "${name}", which the architecture in config.json requires for its head. Check that the model was saved as a reranker and that the file is complete.`,
      { file: this.#file, tensor: name },
    );
  }

  /** The full name of a tensor in the weights, with or without the encoder's prefix. */
  find(name: string): string | undefined {
    if (this.#weights.has(name)) return name;
    return this.#weights
      .names()
      .find((each) => each.endsWith(`.${name}`) && each.split('.').length === name.split('.').length + 1);
  }

  #misshapen(tensor: string): SentvecError {
    const message = `${this.#file}: the tensor "${tensor}" of the head has a wrong shape.`;
    return new SentvecError('invalid-model', message, { file: this.#file, tensor });
  }
}
