// The part of a training configuration that says how the model is evaluated.
import * as v from 'valibot';
import { SentvecError, type ModelKind } from '@sentvec/core';
import type { ColumnName } from '@sentvec/corpus';

/** A whole number of at least 1. */
export const count: v.GenericSchema<number> = v.pipe(v.number(), v.integer(), v.minValue(1));
/** A column by its name, or by its number in a file without a header. */
export const column: v.GenericSchema<ColumnName> = v.union([
  v.string(),
  v.pipe(v.number(), v.integer(), v.minValue(0)),
]);

/** How a model may be evaluated while it trains: the evaluators by their names. */
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

/** How a model is evaluated while it trains. */
export interface EvaluationConfig {
  /**
   * What the columns of the file are, and what the score is:
   * - `sts`: two texts, the label is how similar they are. Spearman of similarity and label
   * - `triplet`: anchor, positive, negative. Share of anchors that are nearer to their positive
   * - `binary`: two texts, the label is 1 when they say the same, else 0. Average precision
   * - `retrieval`: a query, a document that answers it; the documents of all rows are searched. NDCG at 10
   * - `reranking`: a query, a document, the label is 1 when it answers, else 0. Mean average precision over the queries
   * - `paraphrases`: two texts that say the same; they are to be found among all texts of the file. Average precision
   * - `classification`: a text, the label is its class. Accuracy of a linear probe. Of a reranker: two texts, the label is
   *   the one of its labels that holds. Accuracy
   * - `clustering`: a text, the label is its class. V-measure of k-means
   */
  readonly type: EvaluationType;
  readonly file: string;
  readonly columns: readonly ColumnName[];
  readonly label?: ColumnName | undefined;
  readonly header: boolean;
  /**
   * For `classification`: the file that the classifier learns from, with the same columns.
   * @default every fifth row of `file` is tested, the classifier learns from the others
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

/** Columns of texts of each type, and what its label is. */
const shapes: Readonly<Record<EvaluationType, { readonly columns: readonly string[]; readonly label?: string }>> = {
  sts: { columns: ['a text', 'another text'], label: 'the score of how similar they are' },
  triplet: { columns: ['anchor', 'positive', 'negative'] },
  binary: { columns: ['a text', 'another text'], label: '1 when they say the same, else 0' },
  retrieval: { columns: ['query', 'document'] },
  reranking: { columns: ['query', 'document'], label: '1 when the document answers, else 0' },
  paraphrases: { columns: ['a text', 'another text that says the same'] },
  classification: { columns: ['text'], label: 'its class' },
  clustering: { columns: ['text'], label: 'its class' },
};

/** The evaluators for each kind of model. @default all */
const typesOfKinds: Readonly<Partial<Record<ModelKind, readonly EvaluationType[]>>> = {
  reranker: ['sts', 'triplet', 'binary', 'reranking', 'classification'],
  'multi-vector': ['sts', 'triplet', 'binary', 'reranking'],
};

/** What a classification of a reranker is. */
const classifiedPairs = { columns: ['a text', 'another text'], label: 'the label of the model that holds' };

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
      `a model of the kind ${kind} has prompts of its own and no others; leave out the prompts and "known".`,
    );
  if (columns.length !== wanted.length)
    throw configError(`${type} needs ${wanted.length} columns (${wanted.join(', ')}), not ${columns.length}.`);
  if (wantedLabel !== undefined && label === undefined)
    throw configError(`${type} needs a "label", the column with ${wantedLabel}.`);
  if (wantedLabel === undefined && label !== undefined) throw configError(`${type} has no label; leave "label" out.`);
  if (known !== undefined && type !== 'classification')
    throw configError(`"known" belongs to classification, not to ${type}.`);
  if ((queryPrompt !== undefined || corpusPrompt !== undefined) && type !== 'retrieval' && type !== 'reranking')
    throw configError(`"queryPrompt" and "corpusPrompt" belong to retrieval and reranking; ${type} has "prompt".`);
}
