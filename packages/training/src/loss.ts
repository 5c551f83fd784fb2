// The interface of a loss, and functions that the built-in losses share.
import type { Operations } from '@sentvec/architectures';
import { SentvecError } from '@sentvec/core';
import type { MultiVectorLoss } from './losses/multi-vector.ts';
import type { LayerLoss } from './losses/adaptive-layer.ts';
import type { InitialParameter } from './optimizer/parameters.ts';
import type { Draw } from './step/draws.ts';

/**
 * The label that a loss needs for each example.
 * - `none`: nothing, the columns say it all
 * - `score`: a number, higher for more similar, usually 0 to 1
 * - `binary`: 1 for similar, 0 for dissimilar
 * - `class`: the name of a class, a text or a number, the same for texts of one kind
 * - `vector`: a target vector, as long as an embedding
 * - `vectors`: a target vector, or one for each column, one after the other
 * - `guide`: a vector of another model for each column, one after the other, of any length
 * - `margin`: for each negative, how much better the positive is; or how good the positive and each negative are
 * - `scores`: how good the positive and each negative are
 * - `targets`: 0 to 1, how far each label of a reranker holds
 * - `index`: the label that holds, of a reranker or of a loss that classifies: its name, or its number
 * - `lists`: how good each document of a query is
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

/** The description of a loss, whatever it is computed from. */
export interface LossDescription {
  /** Of the built-in ones, the class name in sentence-transformers. */
  readonly name: string;
  /** How many columns of texts an example may have. */
  readonly columns: { readonly least: number; readonly most: number };
  readonly labels: LabelKind;
  /** The fewest examples that make sense in a batch. In-batch negatives need 2. @default 1 */
  readonly smallestBatch?: number | undefined;
  /** Of a loss over labels of its own: how many there are. @default they are those of the model, or none */
  readonly labelCount?: number | undefined;
  /** Parameters, for model cards and fingerprints. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  /**
   * Tensors of the loss that are trained with the model and are no part of it: those of a classifier. Training drops
   * them at its end. `compute` gets them by these names.
   * @param dimension length of a vector
   * @default none
   */
  weights?(dimension: number): readonly InitialParameter[];
  /**
   * What it draws at random in each step. `compute` gets the results by their number.
   * @param layers how many layers the encoder has
   * @default nothing
   */
  draws?(layers: number): readonly Draw[];
}

/** What a loss is given besides vectors and labels. */
export interface LossInputs<Tensor> {
  /** Finds a tensor of {@link LossDescription.weights} by its name. */
  weight(name: string): Tensor;
  /** The result of a draw of {@link LossDescription.draws}: floats `[from]`, 1 for what was drawn and 0 for the rest. */
  drawn(index: number): Tensor;
}

/**
 * A function of embeddings whose value falls as similar texts come nearer to each other than dissimilar ones. Written
 * over the tensor operations, it is recorded, differentiated and executed by whatever trains. To write your own, make
 * such an object:
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
   * What it compares. `vectors`: the vectors of texts. `scores`: what a reranker gives for the first text of an example
   * with each of the others.
   * @default 'vectors'
   */
  readonly over?: 'vectors' | 'scores' | undefined;
  /**
   * For `scores`: with how many documents of other examples the first text of each example is scored as well.
   * @default 0
   */
  readonly inBatchNegatives?: number | undefined;
  /**
   * Why it cannot work on vectors of this length, in words; `undefined` when it can.
   * @default it works on any
   */
  dimensionError?(dimension: number): string | undefined;
  /**
   * @param columns one matrix per column, `[examples, dimension]`; over scores, one per pair, `[examples, labels]`: the
   * first text with each of the others in order, then with those of other examples
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

/** A loss of any kind of model: over vectors, those of each layer, scores of pairs, or the vectors of tokens. */
export type TrainingLoss = Loss | LayerLoss | MultiVectorLoss;

/** What a batch has for an example with this many texts: the texts themselves, or their pairs. */
export function columnsOfBatch(loss: TrainingLoss, texts: number): number {
  return loss.over === 'scores' ? texts - 1 + (loss.inBatchNegatives ?? 0) : texts;
}

/** The first two columns of a loss over at least two. */
export function pairOf<Tensor>(columns: readonly Tensor[]): [Tensor, Tensor] {
  const [anchor, positive] = columns;
  if (anchor === undefined || positive === undefined)
    throw new Error(`A loss over 2 columns was given ${columns.length}.`);
  return [anchor, positive];
}

/** The first column of a loss over at least one. */
export function firstOf<Tensor>(columns: readonly Tensor[]): Tensor {
  const [first] = columns;
  if (first === undefined) throw new Error('A loss over a column was given none.');
  return first;
}

/** The labels of a loss that has some. */
export function labelsOf<Tensor>(labels: Tensor | undefined): Tensor {
  if (labels === undefined) throw new Error('A loss over labels was given none.');
  return labels;
}

/** The inputs of a loss that has weights or draws. */
export function inputsOf<Tensor>(inputs: LossInputs<Tensor> | undefined): LossInputs<Tensor> {
  if (inputs === undefined) throw new Error('A loss with weights or draws was given none.');
  return inputs;
}

/**
 * A parameter of a loss, when it makes sense.
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
 * How many of something take part in a step: a whole number of at least 1, or -1 for all.
 * @throws SentvecError `invalid-argument` for another number
 */
export function checkedPerStep(loss: string, name: string, value: number): number {
  if (value === -1 || (Number.isSafeInteger(value) && value >= 1)) return value;
  throw new SentvecError(
    'invalid-argument',
    `${loss}: "${name}" must be a whole number of at least 1, or -1 for all, not ${value}.`,
  );
}

/**
 * A parameter of a loss that is one of some names.
 * @throws SentvecError `invalid-argument` for another name
 */
export function checkedChoice<T extends string>(loss: string, name: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value;
  const found = JSON.stringify(value);
  throw new SentvecError('invalid-argument', `${loss}: "${name}" must be one of ${choices.join(', ')}, not ${found}.`);
}
