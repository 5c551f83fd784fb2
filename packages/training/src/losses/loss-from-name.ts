// Creates losses from their class names in sentence-transformers and parameters from a configuration file.
import { SentvecError, type ModelKind } from '@sentvec/core';
import type { Loss, TrainingLoss } from '../loss.ts';
import { adaptiveLayerLoss, layerWeightings, matryoshka2dLoss, type LayerLoss } from './adaptive-layer.ts';
import { contrastiveLoss, onlineContrastiveLoss } from './contrastive.ts';
import { matrixDistances, matrixSimilarities, pairDistances, pairSimilarities } from './distance.ts';
import { gistEmbedLoss, globalOrthogonalRegularizationLoss, megaBatchMarginLoss } from './batch-losses.ts';
import { distillKlDivLoss, embedDistillLoss, marginMseLoss, mseLoss } from './distillation.ts';
import {
  approximateRankMseLoss,
  lambdaLoss,
  listMleLoss,
  listNetLoss,
  positionListMleLoss,
  rankNetLoss,
  weightingSchemes,
} from './listwise.ts';
import { matryoshkaLoss } from './matryoshka.ts';
import {
  multiVectorDistillKlDivLoss,
  multiVectorMarginMseLoss,
  multiVectorMultipleNegativesRankingLoss,
} from './multi-vector.ts';
import {
  multipleNegativesRankingLoss,
  multipleNegativesSymmetricRankingLoss,
  rankingDirections,
} from './multiple-negatives-ranking.ts';
import {
  binaryCrossEntropyLoss,
  crossEntropyLoss,
  scoreMarginMseLoss,
  scoreMseLoss,
  scoreRankingLoss,
  type ScoreActivation,
} from './pair-scores.ts';
import { angleLoss, cosentLoss, cosineSimilarityLoss } from './scored-pairs.ts';
import { softmaxLoss } from './softmax.ts';
import { spladeLoss } from './splade.ts';
import {
  batchAllTripletLoss,
  batchHardSoftMarginTripletLoss,
  batchHardTripletLoss,
  batchSemiHardTripletLoss,
  tripletLoss,
} from './triplet.ts';

/** Parameters of a loss in a configuration file, named as in sentence-transformers. */
export type LossParameters = Readonly<Record<string, unknown>>;

/** Values of the run that a loss uses when its parameters do not set them. */
export interface LossDefaults {
  /** The number of labels in the data, for a classification loss. @default 2 */
  readonly labels?: number | undefined;
  /** Seed of the initial weights of the loss. @default 42 */
  readonly seed?: number | undefined;
}

/** Reads the parameters of one loss, and records which it has read: `finish` rejects all others. */
class ParameterReader {
  readonly defaults: LossDefaults;
  readonly #loss: string;
  readonly #parameters: LossParameters;
  readonly #known = new Set<string>();

  constructor(loss: string, parameters: LossParameters, defaults: LossDefaults) {
    this.#loss = loss;
    this.#parameters = parameters;
    this.defaults = defaults;
  }

  number(name: string, fallback: number): number {
    const value = this.#read(name) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.#parameterError(name, 'a number');
  }

  /** A number; null counts as none. */
  optional(name: string): number | undefined {
    return this.#parameters[name] === null || this.#parameters[name] === undefined
      ? (this.#known.add(name), undefined)
      : this.number(name, 0);
  }

  required(name: string): number {
    if (this.#parameters[name] === undefined) throw this.#parameterError(name, 'a number');
    return this.number(name, 0);
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.#read(name) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.#parameterError(name, 'true or false');
  }

  choice<const Choice extends string>(name: string, choices: readonly Choice[], fallback: NoInfer<Choice>): Choice {
    const value = this.#read(name) ?? fallback;
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw this.#parameterError(name, `one of ${choices.join(', ')}`);
  }

  numbers(name: string): number[] | undefined {
    const value = this.#read(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.length > 0 && value.every((entry) => typeof entry === 'number')) return value;
    throw this.#parameterError(name, 'a list of numbers');
  }

  /** One or several of the choices. */
  choices<Choice extends string>(name: string, choices: readonly Choice[]): readonly Choice[] | undefined {
    const value = this.#read(name);
    if (value === undefined) return undefined;
    const isChoice = (entry: unknown): entry is Choice => choices.some((choice) => choice === entry);
    if (Array.isArray(value) && value.length > 0 && value.every(isChoice)) return value;
    throw this.#parameterError(name, `a list of ${choices.join(', ')}`);
  }

  /** A number; null counts as 0. */
  weight(name: string, fallback: number): number {
    return this.#parameters[name] === null ? (this.#known.add(name), 0) : this.number(name, fallback);
  }

  text(name: string): string {
    const value = this.#read(name);
    if (typeof value === 'string') return value;
    throw this.#parameterError(name, 'a string');
  }

  nested(name: string): LossParameters {
    const value = this.#read(name) ?? {};
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as LossParameters;
    throw this.#parameterError(name, 'an object');
  }

  /** @throws SentvecError `invalid-argument` for a parameter that the loss does not have */
  finish(): void {
    const unknown = Object.keys(this.#parameters).filter((name) => !this.#known.has(name));
    if (unknown.length === 0) return;
    const known = [...this.#known].join(', ') || 'none';
    throw new SentvecError(
      'invalid-argument',
      `${this.#loss} has no parameter "${unknown.join('", "')}". Its parameters: ${known}.`,
    );
  }

  #read(name: string): unknown {
    this.#known.add(name);
    return this.#parameters[name];
  }

  #parameterError(name: string, expected: string): SentvecError {
    const found = JSON.stringify(this.#parameters[name]);
    return new SentvecError('invalid-argument', `${this.#loss}: "${name}" must be ${expected}, not ${found}.`);
  }
}

type Makers<Made> = Readonly<Record<string, (read: ParameterReader) => Made>>;

/** Losses over one vector per text. */
const vectorLosses: Makers<Loss> = {
  CosineSimilarityLoss: () => cosineSimilarityLoss(),
  TripletLoss: (read) =>
    tripletLoss({ distance: read.choice('distance', pairDistances, 'euclidean'), margin: read.number('margin', 5) }),
  ContrastiveLoss: (read) => contrastiveLoss({ ...contrastive(read), sizeAverage: read.boolean('size_average', true) }),
  OnlineContrastiveLoss: (read) => onlineContrastiveLoss(contrastive(read)),
  MultipleNegativesRankingLoss: (read) =>
    multipleNegativesRankingLoss({
      ...ranking(read),
      directions: read.choices('directions', rankingDirections),
      partition: read.choice('partition_mode', ['joint', 'per_direction'], 'joint'),
    }),
  MultipleNegativesSymmetricRankingLoss: (read) => multipleNegativesSymmetricRankingLoss(ranking(read)),
  CoSENTLoss: (read) =>
    cosentLoss({ scale: read.number('scale', 20), similarity: read.choice('similarity', pairSimilarities, 'cosine') }),
  AnglELoss: (read) => angleLoss({ scale: read.number('scale', 20) }),
  MSELoss: () => mseLoss(),
  MarginMSELoss: (read) => marginMseLoss({ similarity: read.choice('similarity', pairSimilarities, 'dot') }),
  DistillKLDivLoss: (read) => distillKlDivLoss(distillKlDiv(read, 1)),
  EmbedDistillLoss: (read) =>
    embedDistillLoss({ distance: read.choice('distance', ['cosine', 'mse', 'l2'], 'cosine') }),
  GISTEmbedLoss: (read) =>
    gistEmbedLoss({
      temperature: read.number('temperature', 0.01),
      marginStrategy: read.choice('margin_strategy', ['absolute', 'relative'], 'absolute'),
      margin: read.number('margin', 0),
      contrastAnchors: read.boolean('contrast_anchors', true),
      contrastPositives: read.boolean('contrast_positives', true),
    }),
  MegaBatchMarginLoss: (read) =>
    megaBatchMarginLoss({
      positiveMargin: read.number('positive_margin', 0.8),
      negativeMargin: read.number('negative_margin', 0.3),
    }),
  GlobalOrthogonalRegularizationLoss: (read) =>
    globalOrthogonalRegularizationLoss({
      similarity: read.choice('similarity', matrixSimilarities, 'cosine'),
      meanWeight: read.weight('mean_weight', 1),
      secondMomentWeight: read.weight('second_moment_weight', 1),
      aggregation: read.choice('aggregation', ['mean', 'sum'], 'mean'),
    }),
  BatchHardTripletLoss: (read) => batchHardTripletLoss(batchTriplet(read)),
  BatchHardSoftMarginTripletLoss: (read) =>
    batchHardSoftMarginTripletLoss({ distance: read.choice('distance', matrixDistances, 'euclidean') }),
  BatchSemiHardTripletLoss: (read) => batchSemiHardTripletLoss(batchTriplet(read)),
  BatchAllTripletLoss: (read) => batchAllTripletLoss(batchTriplet(read)),
  SoftmaxLoss: (read) =>
    softmaxLoss({
      labels: read.optional('num_labels') ?? read.defaults.labels ?? 2,
      embeddings: read.boolean('concatenation_sent_rep', true),
      difference: read.boolean('concatenation_sent_difference', true),
      product: read.boolean('concatenation_sent_multiplication', false),
      seed: read.defaults.seed,
    }),
  MatryoshkaLoss: (read) => matryoshka(read),
};

/** Losses over the vectors of each layer. */
const layerLosses: Makers<LayerLoss> = {
  AdaptiveLayerLoss: (read) => adaptiveLayerLoss(innerLoss(read), adaptiveLayer(read)),
  Matryoshka2dLoss: (read) => {
    const { dims, weights } = matryoshkaSizes(read, 'Matryoshka2dLoss');
    const options = { ...adaptiveLayer(read), weights, dimsPerStep: read.number('n_dims_per_step', 1) };
    return matryoshka2dLoss(innerLoss(read), dims, options);
  },
};

const sparseLosses: Makers<Loss> = {
  SparseMultipleNegativesRankingLoss: (read) =>
    named(
      'SparseMultipleNegativesRankingLoss',
      multipleNegativesRankingLoss({
        scale: read.number('scale', 1),
        similarity: read.choice('similarity', matrixSimilarities, 'dot'),
      }),
    ),
  SparseMarginMSELoss: (read) =>
    named('SparseMarginMSELoss', marginMseLoss({ similarity: read.choice('similarity', pairSimilarities, 'dot') })),
  SparseDistillKLDivLoss: (read) => named('SparseDistillKLDivLoss', distillKlDivLoss(distillKlDiv(read, 2))),
  SpladeLoss: (read) =>
    spladeLoss(innerLoss(read), {
      documentWeight: read.required('document_regularizer_weight'),
      queryWeight: read.weight('query_regularizer_weight', 0),
      documentsOnly: read.boolean('use_document_regularizer_only', false),
    }),
};

/** Losses of rerankers. Some share their name with a loss over vectors, as in sentence-transformers. */
const scoreLosses: Makers<Loss> = {
  BinaryCrossEntropyLoss: (read) =>
    binaryCrossEntropyLoss({ activation: activation(read), positiveWeight: read.number('pos_weight', 1) }),
  CrossEntropyLoss: (read) => crossEntropyLoss({ activation: activation(read) }),
  MSELoss: (read) => scoreMseLoss({ activation: activation(read) }),
  MarginMSELoss: (read) => scoreMarginMseLoss({ activation: activation(read) }),
  MultipleNegativesRankingLoss: (read) =>
    scoreRankingLoss({
      activation: activation(read, 'Sigmoid'),
      negatives: read.number('num_negatives', 4),
      scale: read.number('scale', 10),
    }),
  ListNetLoss: (read) => listNetLoss({ activation: activation(read) }),
  ListMLELoss: (read) => listMleLoss(listMle(read)),
  PListMLELoss: (read) => positionListMleLoss(listMle(read)),
  RankNetLoss: (read) => rankNetLoss(rankNet(read)),
  LambdaLoss: (read) =>
    lambdaLoss({
      ...rankNet(read),
      weighting: read.choice('weighting_scheme', weightingSchemes, 'NDCGLoss2PPScheme'),
    }),
  ADRMSELoss: (read) => approximateRankMseLoss({ activation: activation(read), alpha: read.number('alpha', 1) }),
};

/** Losses of late interaction. */
const tokenLosses: Makers<TrainingLoss> = {
  MultiVectorMultipleNegativesRankingLoss: (read) =>
    multiVectorMultipleNegativesRankingLoss({ scale: read.number('scale', 1) }),
  MultiVectorDistillKLDivLoss: (read) => multiVectorDistillKlDivLoss({ temperature: read.number('temperature', 1) }),
  MultiVectorMarginMSELoss: () => multiVectorMarginMseLoss(),
};

/**
 * The losses that each kind of model can be trained with. Sparse embedders give vectors, so losses over vectors work
 * too.
 */
const makers: Readonly<Record<ModelKind, Makers<TrainingLoss>>> = {
  embedder: { ...vectorLosses, ...layerLosses },
  reranker: scoreLosses,
  sparse: { ...sparseLosses, ...vectorLosses },
  'multi-vector': tokenLosses,
};

const activations: readonly ScoreActivation[] = ['Identity', 'Sigmoid'];
const activation = (read: ParameterReader, usual: ScoreActivation = 'Identity') =>
  read.choice('activation_fn', activations, usual);
const listMle = (read: ParameterReader) => ({
  activation: activation(read),
  respectInputOrder: read.boolean('respect_input_order', false),
});
const rankNet = (read: ParameterReader) => ({
  activation: activation(read),
  k: read.optional('k'),
  sigma: read.number('sigma', 1),
  logarithm: read.choice('reduction_log', ['binary', 'natural'], 'binary'),
});

/** Renames a loss: losses of sparse encoders are those of dense ones with other defaults. */
const named = (name: string, loss: Loss): Loss => ({ ...loss, name });
const distillKlDiv = (read: ParameterReader, usualTemperature: number) => ({
  similarity: read.choice('similarity', pairSimilarities, 'dot'),
  temperature: read.number('temperature', usualTemperature),
});

const contrastive = (read: ParameterReader) => ({
  distance: read.choice('distance', pairDistances, 'cosine'),
  margin: read.number('margin', 0.5),
});
const ranking = (read: ParameterReader) => ({
  scale: read.number('scale', 20),
  similarity: read.choice('similarity', matrixSimilarities, 'cosine'),
});
const batchTriplet = (read: ParameterReader) => ({
  distance: read.choice('distance', matrixDistances, 'euclidean'),
  margin: read.number('margin', 5),
});

const adaptiveLayer = (read: ParameterReader) => ({
  layersPerStep: read.number('n_layers_per_step', 1),
  lastLayerWeight: read.number('last_layer_weight', 1),
  priorLayersWeight: read.number('prior_layers_weight', 1),
  divergenceWeight: read.number('kl_div_weight', 1),
  temperature: read.number('kl_temperature', 0.3),
  weighting: read.choice('layer_weighting', layerWeightings, 'uniform'),
});

function matryoshka(read: ParameterReader): Loss {
  const { dims, weights } = matryoshkaSizes(read, 'MatryoshkaLoss');
  return matryoshkaLoss(innerLoss(read), dims, weights, { dimsPerStep: read.number('n_dims_per_step', -1) });
}

function matryoshkaSizes(read: ParameterReader, loss: string) {
  const [dims, short] = [read.numbers('matryoshka_dims'), read.numbers('dims')];
  const [weights, shortWeights] = [read.numbers('matryoshka_weights'), read.numbers('weights')];
  if ((dims && short) || (weights && shortWeights))
    throw new SentvecError(
      'invalid-argument',
      `${loss}: "dims" and "weights" are old names of "matryoshka_dims" and "matryoshka_weights", which are set too. Remove the old names.`,
    );
  const found = dims ?? short;
  if (found === undefined)
    throw new SentvecError(
      'invalid-argument',
      `${loss} needs "matryoshka_dims", the dimensions to train, such as [512, 256, 128].`,
    );
  return { dims: found, weights: weights ?? shortWeights };
}

/** The names of the losses for a kind of model. See {@link lossFromName}. */
export function lossNames(kind: ModelKind = 'embedder'): readonly string[] {
  return Object.keys(makers[kind]);
}

/**
 * Creates a loss from its class name and parameter names in sentence-transformers.
 * @param kind the kind of model that is trained; it matters because kinds share names of losses. Default `embedder`
 * @param defaults used for parameters that are not set
 * @throws SentvecError `invalid-argument` for an unknown loss, an unknown parameter, or a value of the wrong kind
 */
export function lossFromName(
  name: string,
  parameters?: LossParameters,
  kind?: 'embedder' | 'reranker' | 'sparse',
  defaults?: LossDefaults,
): Loss;
export function lossFromName(
  name: string,
  parameters: LossParameters | undefined,
  kind: ModelKind,
  defaults?: LossDefaults,
): TrainingLoss;
export function lossFromName(
  name: string,
  parameters: LossParameters = {},
  kind: ModelKind = 'embedder',
  defaults: LossDefaults = {},
): TrainingLoss {
  return createLoss(makers[kind], name, parameters, kind, defaults);
}

/** The inner loss of a wrapper such as MatryoshkaLoss. */
function innerLoss(read: ParameterReader): Loss {
  return createLoss(
    { ...sparseLosses, ...vectorLosses },
    read.text('loss'),
    read.nested('loss_params'),
    'sparse',
    read.defaults,
  );
}

function createLoss<Made>(
  from: Makers<Made>,
  name: string,
  parameters: LossParameters,
  kind: ModelKind,
  defaults: LossDefaults,
): Made {
  const maker = Object.hasOwn(from, name) ? from[name] : undefined;
  if (maker === undefined) {
    const owner = (Object.keys(makers) as ModelKind[]).find((each) => Object.hasOwn(makers[each], name));
    throw new SentvecError(
      'invalid-argument',
      owner === undefined
        ? `There is no loss "${name}". Choose one of ${Object.keys(from).join(', ')}.`
        : `The loss "${name}" trains models of the kind ${owner}, not ${kind}. For ${kind}, choose one of ${Object.keys(from).join(', ')}.`,
    );
  }
  const read = new ParameterReader(name, parameters, defaults);
  const loss = maker(read);
  read.finish();
  return loss;
}
