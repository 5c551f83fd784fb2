// The interface of a loss, and functions that built-in losses share.
import type { Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import type { MultiVectorLoss } from './losses/multi-vector.ts';
import type { LayerLoss } from './losses/adaptive-layer.ts';
import type { InitialParameter } from './optimizer/parameters.ts';
import type { Draw } from './step/draws.ts';

/**
 * The label that a loss needs for each example.
 * - `none`: no label
 * - `score`: a number, higher for more similar, usually 0 to 1
 * - `binary`: 1 for similar, 0 for dissimilar
 * - `class`: the name of the example's class, a string or a number
 * - `vector`: a target vector with the dimension of an embedding
 * - `vectors`: a target vector for all columns, or one for each column, concatenated
 * - `guide`: a guide model's vector for each column, concatenated; they may have another dimension
 * - `margin`: for each negative, the positive's score minus the negative's; or the scores of the positive and each
 * negative
 * - `scores`: the scores of the positive and of each negative
 * - `targets`: for each label of a reranker, its probability from 0 to 1
 * - `index`: the correct label of a reranker or of a classification loss: its name or its index
 * - `lists`: the relevance of each document of a query
 */
export type LabelKind =
  | 'none'
  | 'score'
  | 'binary'
  | 'class'
  | 'vector'
  | 'vectors'
  | 'guide'
  | 'margin'
  | 'scores'
  | 'targets'
  | 'index'
  | 'lists';

/** The properties that all kinds of losses have. */
export interface LossDescription {
  /** Built-in losses have the name of their class in sentence-transformers. */
  readonly name: string;
  /** The minimum and maximum number of text columns. */
  readonly columns: { readonly least: number; readonly most: number };
  readonly labels: LabelKind;
  /** The minimum number of examples in a batch. Losses with in-batch negatives need 2. @default 1 */
  readonly smallestBatch?: number | undefined;
  /**
   * The number of labels, for a loss with its own classifier.
   * @default the labels are those of the model, or there are none
   */
  readonly labelCount?: number | undefined;
  /** Parameters, for model cards and fingerprints. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  /**
   * Tensors of the loss, such as those of a classifier, that are trained together with the model but are not saved with
   * it. `compute` gets them by these names.
   * @param dimension of the vectors
   * @default none
   */
  weights?(dimension: number): readonly InitialParameter[];
  /**
   * The random draws of each step. `compute` gets their results by index.
   * @param layers number of layers of the encoder
   * @default none
   */
  draws?(layers: number): readonly Draw[];
}

/** Further inputs of a loss, besides vectors and labels. */
export interface LossInputs<Tensor> {
  /** Finds a tensor of {@link LossDescription.weights} by its name. */
  weight(name: string): Tensor;
  /** The result of a draw of {@link LossDescription.draws}: floats `[from]`, 1 at the drawn positions, 0 elsewhere. */
  drawn(index: number): Tensor;
}

/**
 * A loss: a function of embeddings that training minimizes. It is written with the tensor operations of `ops`, so that
 * every training engine can record, differentiate and execute it. To write your own, implement this interface:
 *
 * ```ts
 * const squaredDistance: Loss = {
 *   name: 'SquaredDistance',
 *   columns: { least: 2, most: 2 },
 *   labels: 'none',
 *   compute(ops, columns) {
 *     const [anchor, positive] = pairOf(columns);
 *     const difference = ops.subtract(anchor, positive);
 *     return meanOf(ops, ops.multiply(difference, difference));
 *   },
 * };
 * ```
 */
export interface Loss extends LossDescription {
  /**
   * The inputs of `compute`. `vectors`: the vectors of the texts. `scores`: a reranker's scores of the pairs (first
   * text, other text) of each example.
   * @default 'vectors'
   */
  readonly over?: 'vectors' | 'scores' | undefined;
  /**
   * For `scores`: how many documents of other examples the first text of each example is also paired with.
   * @default 0
   */
  readonly inBatchNegatives?: number | undefined;
  /**
   * Returns an error message if the loss cannot work with vectors of this dimension, else `undefined`.
   * @default the loss works with any dimension
   */
  dimensionError?(dimension: number): string | undefined;
  /**
   * @param columns for `vectors`: one matrix per column, `[examples, dimension]`. For `scores`: one matrix per pair,
   * `[examples, labels]`; first the pairs with the example's own texts in order, then those with texts of other
   * examples
   * @param labels `[examples]` floats; for `targets` `[examples, labels]` or `[examples]`; for `index` numbers of
   * labels; for `lists` `[examples, documents]`, `-Infinity` where a list has no document; for `vector` `[examples,
   * dimension]`; for `vectors` that or `[examples, columns × dimension]`; for `guide` `[examples, columns × n]`; for
   * `margin` `[examples, negatives]` or `[examples, 1 + negatives]`; for `scores` `[examples, 1 + negatives]`; for
   * `class` numbers that are equal within the batch where the names are; absent for `none`
   * @param inputs only for a loss that has `weights` or `draws`
   * @returns a single number, shape `[]`
   */
  compute<Tensor>(
    ops: Operations<Tensor>,
    columns: readonly Tensor[],
    labels: Tensor | undefined,
    inputs?: LossInputs<Tensor>,
  ): Tensor;
}

/** A loss over any of: vectors, vectors of each layer, scores of pairs, token vectors. */
export type TrainingLoss = Loss | LayerLoss | MultiVectorLoss;

/**
 * The number of columns of a batch whose examples have `texts` texts: the texts themselves, or the pairs for `scores`.
 */
export function columnsOfBatch(loss: TrainingLoss, texts: number): number {
  return loss.over === 'scores' ? texts - 1 + (loss.inBatchNegatives ?? 0) : texts;
}

/** The first two columns. @throws Error when there are fewer */
export function pairOf<Tensor>(columns: readonly Tensor[]): [Tensor, Tensor] {
  const [anchor, positive] = columns;
  if (anchor === undefined || positive === undefined)
    throw new Error(`This loss needs 2 columns, but the batch has ${columns.length}.`);
  return [anchor, positive];
}

/** The first column. @throws Error when there is none */
export function firstOf<Tensor>(columns: readonly Tensor[]): Tensor {
  const [first] = columns;
  if (first === undefined) throw new Error('This loss needs a column, but the batch has none.');
  return first;
}

/** The labels of a batch. @throws Error when they are undefined */
export function labelsOf<Tensor>(labels: Tensor | undefined): Tensor {
  if (labels === undefined) throw new Error('This loss needs labels, but the batch has none.');
  return labels;
}

/** The further inputs of a loss with weights or draws. @throws Error when they are undefined */
export function inputsOf<Tensor>(inputs: LossInputs<Tensor> | undefined): LossInputs<Tensor> {
  if (inputs === undefined) throw new Error('This loss has weights or draws, but compute() got no inputs.');
  return inputs;
}

/**
 * Returns the parameter of a loss if it is valid.
 * @throws SentvecError `invalid-argument` for a number that is negative or not finite, or 0 where it must be positive
 */
export function checkedParameter(
  loss: string,
  name: string,
  value: number,
  sign: 'positive' | 'not negative' = 'not negative',
): number {
  if (Number.isFinite(value) && (sign === 'positive' ? value > 0 : value >= 0)) return value;
  const expected = sign === 'positive' ? 'a number above 0' : 'a number of at least 0';
  throw new SentvecError('invalid-argument', `${loss}: "${name}" must be ${expected}, not ${value}.`);
}

/**
 * Returns a `…PerStep` option of a loss if it is valid: a whole number of at least 1, or -1 for all.
 * @throws SentvecError `invalid-argument` for any other number
 */
export function checkedPerStep(loss: string, name: string, value: number): number {
  if (value === -1 || (Number.isSafeInteger(value) && value >= 1)) return value;
  throw new SentvecError(
    'invalid-argument',
    `${loss}: "${name}" must be a whole number of at least 1, or -1 for all, not ${value}.`,
  );
}

/**
 * Returns a parameter of a loss if it is one of `choices`.
 * @throws SentvecError `invalid-argument` for any other value
 */
export function checkedChoice<T extends string>(loss: string, name: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value;
  const found = JSON.stringify(value);
  throw new SentvecError('invalid-argument', `${loss}: "${name}" must be one of ${choices.join(', ')}, not ${found}.`);
}
