// Makes the evaluator of a training run from its configuration.
import { resolve } from 'node:path';
import {
  applyActivation,
  promptNameFor,
  SentvecError,
  type Activation,
  type SimilarityFunction,
  type TextRole,
} from '@sentvec/core';
import { readTable, type Table } from '@sentvec/corpus';
import { withPrompt, type EmbedTexts, type ScorePairs, type SearchPrompts } from '../embed-texts.ts';
import { evaluateClassification, type ClassifiedTexts } from '../evaluation/classification.ts';
import { evaluateClustering } from '../evaluation/clustering.ts';
import { evaluateRetrieval, retrievalTask } from '../evaluation/retrieval.ts';
import {
  evaluatePairBinary,
  evaluatePairClassification,
  evaluatePairCorrelation,
  evaluatePairReranking,
  evaluatePairTriplets,
} from '../evaluation/scored-pairs.ts';
import {
  evaluateParaphrases,
  evaluateReranking,
  paraphraseTask,
  rerankingSamples,
  withPositivesAndNegatives,
} from '../evaluation/search.ts';
import { evaluateBinaryClassification, evaluateSts, evaluateTriplets } from '../evaluation/similarity.ts';
import type { Evaluation, TrainingRequest } from '../training-request.ts';
import { promptText } from './configured-data.ts';
import type { EvaluationConfig, EvaluationType } from './evaluation-config.ts';
import type { LoadedTrainable } from './load-trainable.ts';

/** Evaluates the current model. `Given` is the function that embeds texts or scores pairs with its current weights. */
type EvaluateBy<Given> = (given: Given) => Promise<Evaluation>;

/** The properties of the model that an evaluation needs. */
interface EvaluatedModel {
  readonly kind: LoadedTrainable['kind'];
  readonly folder: Pick<LoadedTrainable['folder'], 'prompts' | 'similarityFunction'>;
  readonly labels?: readonly string[] | undefined;
  readonly activation?: Activation | undefined;
}

/** The data and the model properties that an evaluator is made from. */
interface EvaluationData {
  readonly columns: readonly (readonly string[])[];
  readonly labels: Float32Array;
  readonly classes: readonly string[];
  /** The texts that the classifier is fitted on. @default four of five rows of the columns */
  readonly known: ClassifiedTexts | undefined;
  readonly similarity: SimilarityFunction;
  readonly searchPrompts: SearchPrompts;
  readonly kind: LoadedTrainable['kind'];
  /** The labels of the model, for a reranker. */
  readonly modelLabels: readonly string[];
  /** The activation that turns the model's logits into scores. */
  readonly activation: Activation;
}

/**
 * Makes the evaluator of a configuration, with the similarity and the prompts of the model.
 * @returns the evaluator, and the tables that it was made from
 * @throws SentvecError `invalid-corpus`; `invalid-argument` for a prompt that the model does not have
 */
export async function readEvaluation(
  config: EvaluationConfig,
  { kind, folder, labels: modelLabels = [], activation = 'Identity' }: EvaluatedModel,
  directory: string,
): Promise<{ readonly evaluate: NonNullable<TrainingRequest['evaluate']>; readonly data: readonly Table[] }> {
  const textOf = (name: string | undefined) => (name === undefined ? undefined : promptText(name, folder.prompts));
  const prompt = textOf(config.prompt);
  // Without a prompt in the configuration, use the model's default prompts for search.
  const defaultPrompt = (role: TextRole): string | undefined =>
    config.prompt === undefined ? promptNameFor(role, folder.prompts, undefined) : undefined;
  const searchPrompts: SearchPrompts = {
    queryPrompt: textOf(config.queryPrompt ?? defaultPrompt('query')),
    corpusPrompt: textOf(config.corpusPrompt ?? defaultPrompt('document')),
  };
  const labelKind = config.type === 'classification' || config.type === 'clustering' ? 'class' : 'number';
  const read = async (file: string): Promise<Table> =>
    readTable({ ...config, labelKind, file: resolve(directory, file) });
  const table = await read(config.file);
  const labels = Float32Array.from(table.labels ?? [], Number);
  const { classes = [], columns } = table;
  checkEvaluationData(config, columns, labels, classes);
  const training = config.known === undefined ? undefined : await read(config.known);
  const known = training && { texts: training.columns[0]!, classes: training.classes! };
  const { similarityFunction: similarity } = folder;
  const data = { columns, labels, classes, known, similarity, searchPrompts, kind, modelLabels, activation };
  const tables = training ? [table, training] : [table];
  const ofPairs = kind === 'reranker' || kind === 'multi-vector' ? pairEvaluators[config.type] : undefined;
  if (ofPairs !== undefined) {
    const evaluatePairs = ofPairs(data);
    return { evaluate: (_, score) => evaluatePairs(score), data: tables };
  }
  const evaluate = evaluators[config.type](data);
  return { evaluate: (embed) => evaluate(withPrompt(embed, prompt)), data: tables };
}

/** Evaluators of models that score pairs. */
const pairEvaluators: Readonly<Partial<Record<EvaluationType, (data: EvaluationData) => EvaluateBy<ScorePairs>>>> = {
  sts: ({ columns, labels: scores, activation }) => {
    const pairs = { first: columns[0]!, second: columns[1]!, scores };
    return (score) => evaluatePairCorrelation(activated(score, activation), pairs);
  },
  triplet: ({ columns }) => {
    const triplets = { anchors: columns[0]!, positives: columns[1]!, negatives: columns[2]! };
    return (score) => evaluatePairTriplets(score, triplets);
  },
  binary: ({ columns, labels }) => {
    const pairs = { first: columns[0]!, second: columns[1]!, labels };
    return (score) => evaluatePairBinary(score, pairs);
  },
  reranking: ({ columns, labels, kind }) => {
    const all = rerankingSamples(columns[0]!, columns[1]!, labels);
    // As in sentence-transformers: `MultiVectorRerankingEvaluator` skips queries that lack positives or negatives, and
    // `CrossEncoderRerankingEvaluator` counts them.
    const samples = kind === 'reranker' ? all : withPositivesAndNegatives(all);
    return (score) => evaluatePairReranking(score, samples);
  },
  classification: ({ columns, classes, modelLabels }) => {
    const numbers = classes.map((name) => (modelLabels.includes(name) ? modelLabels.indexOf(name) : Number(name)));
    const row = numbers.findIndex((label) => !(Number.isInteger(label) && label >= 0 && label < modelLabels.length));
    if (row >= 0)
      throw new SentvecError(
        'invalid-corpus',
        `evaluation: row ${row} has the label ${JSON.stringify(classes[row])}; the model has ${modelLabels.join(', ')}.`,
        { row },
      );
    const pairs = { first: columns[0]!, second: columns[1]!, classes: numbers };
    return (score) => evaluatePairClassification(score, pairs);
  },
};

const evaluators: Readonly<Record<EvaluationType, (data: EvaluationData) => EvaluateBy<EmbedTexts>>> = {
  sts: ({ columns, labels: scores, similarity }) => {
    const pairs = { first: columns[0]!, second: columns[1]!, scores };
    return (embed) => evaluateSts(embed, pairs, similarity);
  },
  triplet: ({ columns, similarity }) => {
    const triplets = { anchors: columns[0]!, positives: columns[1]!, negatives: columns[2]! };
    return (embed) => evaluateTriplets(embed, triplets, similarity);
  },
  binary: ({ columns, labels, similarity }) => {
    const pairs = { first: columns[0]!, second: columns[1]!, labels };
    return (embed) => evaluateBinaryClassification(embed, pairs, similarity);
  },
  retrieval: ({ columns, similarity, searchPrompts }) => {
    const task = retrievalTask(columns[0]!, columns[1]!);
    return (embed) => evaluateRetrieval(embed, task, similarity, searchPrompts);
  },
  reranking: ({ columns, labels, similarity, searchPrompts }) => {
    const samples = rerankingSamples(columns[0]!, columns[1]!, labels);
    return (embed) => evaluateReranking(embed, samples, similarity, undefined, searchPrompts);
  },
  paraphrases: ({ columns, similarity }) => {
    const task = paraphraseTask(columns[0]!, columns[1]!);
    return (embed) => evaluateParaphrases(embed, task, similarity);
  },
  classification: ({ columns, classes, known, similarity }) => {
    const all = { texts: columns[0]!, classes };
    const [training, test] = known ? [known, all] : [everyFifth(all, false), everyFifth(all, true)];
    return (embed) => evaluateClassification(embed, training, test, { similarity });
  },
  clustering: ({ columns, classes }) => {
    const all = { texts: columns[0]!, classes };
    return (embed) => evaluateClustering(embed, all);
  },
};

/** Applies the model's activation to its scores, as in inference. */
function activated(score: ScorePairs, activation: Activation): ScorePairs {
  return async (pairs) => {
    const { data, rows, cols } = await score(pairs);
    const scores = Float32Array.from(data);
    applyActivation(activation, scores, cols);
    return { data: scores, rows, cols };
  };
}

/** Every fifth row (`chosen`), or all other rows. */
function everyFifth({ texts, classes }: ClassifiedTexts, chosen: boolean): ClassifiedTexts {
  const isChosen = (_: string, row: number) => (row % 5 === 4) === chosen;
  return { texts: texts.filter(isChosen), classes: classes.filter(isChosen) };
}

/** Checks the labels before the training starts, so that a long run does not fail at its first evaluation. */
function checkEvaluationData(
  { type, file, known }: EvaluationConfig,
  columns: readonly (readonly string[])[],
  labels: Float32Array,
  classes: readonly string[],
): void {
  const corpusError = (problem: string, row?: number) =>
    new SentvecError('invalid-corpus', `${file}: evaluation: ${problem}`, { file, row });
  const rows = columns[0]!.length;
  const fewest = type === 'classification' && known === undefined ? 5 : type === 'sts' ? 2 : 1;
  if (rows < fewest) throw corpusError(`${type} needs at least ${fewest} rows; there are ${rows}.`);
  const invalid = labels.findIndex(
    (label) => !Number.isFinite(label) || (type !== 'sts' && label !== 0 && label !== 1),
  );
  if (invalid >= 0)
    throw corpusError(
      `row ${invalid} has the label ${labels[invalid]}, but ${type} needs ${type === 'sts' ? 'a number' : '1 or 0'}.`,
      invalid,
    );
  if (type === 'sts' && labels.every((label) => label === labels[0]))
    throw corpusError(`all scores are ${labels[0]}, so no correlation can be computed. sts needs different scores.`);
  if ((type === 'binary' || type === 'reranking') && !(labels.includes(0) && labels.includes(1)))
    throw corpusError(`all labels are ${labels[0]}; ${type} needs rows with label 1 and rows with label 0.`);
  if (classes.length > 0 && new Set(classes).size < 2)
    throw corpusError(`all rows have the class "${classes[0]}"; ${type} needs at least two classes.`);
}
