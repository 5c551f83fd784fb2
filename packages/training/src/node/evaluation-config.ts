// The evaluation part of a training configuration: its type, its schema and its checks.
import * as v from 'valibot';
import { SentvecError, type ModelKind } from '@sentvec/core';
import type { ColumnName } from '@sentvec/corpus';

/** A whole number of at least 1. */
export const count: v.GenericSchema<number> = v.pipe(v.number(), v.integer(), v.minValue(1));
/** A column: its name, or its index in a file without a header. */
export const column: v.GenericSchema<ColumnName> = v.union([
  v.string(),
  v.pipe(v.number(), v.integer(), v.minValue(0)),
]);

/** The names of all evaluators. */
export const evaluationTypes = [
  'sts',
  'triplet',
  'binary',
  'retrieval',
  'reranking',
  'paraphrases',
  'classification',
  'clustering',
] as const;

/** The name of an evaluator. */
export type EvaluationType = (typeof evaluationTypes)[number];

/** How a model is evaluated during training. */
export interface EvaluationConfig {
  /**
   * The evaluator. It decides the columns of the file, the meaning of the label, and the score:
   * - `sts`: two texts; the label is their similarity. Score: Spearman correlation of similarity and label
   * - `triplet`: anchor, positive, negative. Score: share of anchors that are nearer to their positive
   * - `binary`: two texts; the label is 1 if they mean the same, else 0. Score: average precision
   * - `retrieval`: a query and a relevant document; the documents of all rows are searched. Score: NDCG at 10
   * - `reranking`: a query and a document; the label is 1 if it is relevant, else 0. Score: mean average precision
   * - `paraphrases`: two texts that mean the same, which mining should find in the file. Score: average precision
   * - `classification`: a text; the label is its class. Score: accuracy of a linear probe. For a reranker: two texts;
   *   the label is the correct one of the model's labels. Score: accuracy
   * - `clustering`: a text; the label is its class. Score: V-measure of k-means
   */
  readonly type: EvaluationType;
  readonly file: string;
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  readonly header: boolean;
  /**
   * For `classification`: the file that the classifier is fitted on, with the same columns.
   * @default every fifth row of `file` is for testing, the others are for fitting
   */
  readonly known?: string | undefined;
  /** Name of one of the model's prompts, put before each text. */
  readonly prompt?: string | undefined;
  /**
   * For `retrieval` and `reranking`: name of the prompt before each query, in place of `prompt`.
   * @default `prompt`, else the model's prompt for queries
   */
  readonly queryPrompt?: string | undefined;
  /**
   * For `retrieval` and `reranking`: name of the prompt before each document, in place of `prompt`.
   * @default `prompt`, else the model's prompt for documents
   */
  readonly corpusPrompt?: string | undefined;
}

/** The schema of {@link EvaluationConfig}. */
export const evaluationSchema: v.GenericSchema<unknown, EvaluationConfig> = v.strictObject({
  type: v.picklist(evaluationTypes),
  file: v.string(),
  columns: v.pipe(v.array(column), v.minLength(1)),
  label: v.optional(column),
  header: v.optional(v.boolean(), true),
  known: v.optional(v.string()),
  prompt: v.optional(v.string()),
  queryPrompt: v.optional(v.string()),
  corpusPrompt: v.optional(v.string()),
});

/** The text columns and the label of each evaluator, for error messages. */
const shapes: Readonly<Record<EvaluationType, { readonly columns: readonly string[]; readonly label?: string }>> = {
  sts: { columns: ['a text', 'another text'], label: 'the similarity score of the two texts' },
  triplet: { columns: ['anchor', 'positive', 'negative'] },
  binary: { columns: ['a text', 'another text'], label: '1 if the texts mean the same, else 0' },
  retrieval: { columns: ['query', 'document'] },
  reranking: { columns: ['query', 'document'], label: '1 if the document is relevant, else 0' },
  paraphrases: { columns: ['a text', 'a paraphrase of it'] },
  classification: { columns: ['text'], label: 'the class' },
  clustering: { columns: ['text'], label: 'the class' },
};

/** The evaluators for each kind of model. Kinds that are not listed have all evaluators. */
const typesOfKinds: Readonly<Partial<Record<ModelKind, readonly EvaluationType[]>>> = {
  reranker: ['sts', 'triplet', 'binary', 'reranking', 'classification'],
  'multi-vector': ['sts', 'triplet', 'binary', 'reranking'],
};

/** The columns and the label of `classification` for a reranker. */
const classifiedPairs = { columns: ['a text', 'another text'], label: 'the correct label of the model' };

/** @throws SentvecError `invalid-argument` when the columns are not those of the type */
export function checkEvaluationConfig(
  evaluation: EvaluationConfig | undefined,
  name: string,
  kind: ModelKind = 'embedder',
): void {
  if (evaluation === undefined) return;
  const { type, columns, label, known, prompt, queryPrompt, corpusPrompt } = evaluation;
  const configError = (problem: string) =>
    new SentvecError('invalid-argument', `${name}: evaluation: ${problem}`, { file: name });
  const possible = typesOfKinds[kind] ?? evaluationTypes;
  if (!possible.includes(type))
    throw configError(`${type} cannot evaluate a model of the kind ${kind}. These can: ${possible.join(', ')}.`);
  const { columns: wanted, label: wantedLabel } =
    kind === 'reranker' && type === 'classification' ? classifiedPairs : shapes[type];
  if (
    (kind === 'reranker' || kind === 'multi-vector') &&
    (prompt ?? queryPrompt ?? corpusPrompt ?? known) !== undefined
  )
    throw configError(
      `a model of the kind ${kind} always uses its own prompts and needs no file to fit; remove the prompts and "known".`,
    );
  if (columns.length !== wanted.length)
    throw configError(`${type} needs ${wanted.length} columns (${wanted.join(', ')}), not ${columns.length}.`);
  if (wantedLabel !== undefined && label === undefined)
    throw configError(`${type} needs a "label", the column with ${wantedLabel}.`);
  if (wantedLabel === undefined && label !== undefined) throw configError(`${type} needs no label; remove "label".`);
  if (known !== undefined && type !== 'classification')
    throw configError(`"known" is an option of classification, not of ${type}. Remove it.`);
  if ((queryPrompt !== undefined || corpusPrompt !== undefined) && type !== 'retrieval' && type !== 'reranking')
    throw configError(
      `"queryPrompt" and "corpusPrompt" are options of retrieval and reranking; use "prompt" for ${type}.`,
    );
}
