// The interface of a training set, and the check that its columns and labels match its loss.
import { SentvecError } from '@sentvec/core';
import type { TrainingLoss } from '../loss.ts';
import { absentDocument } from '../losses/listwise.ts';
import type { ExampleTable, Sampler } from './samplers.ts';

/** Examples, and the loss to train with them. */
export interface TrainingSet {
  /** Usually the file name. Used in error messages and in the model card. */
  readonly name: string;
  readonly examples: ExampleTable;
  readonly loss: TrainingLoss;
  /**
   * @default `noDuplicates` for losses with in-batch negatives, `groupedByLabel` for losses over classes, else
   * `shuffled`
   */
  readonly sampler?: Sampler | undefined;
  /**
   * The prompt of each column, put before each of its texts.
   * @default none
   */
  readonly prompts?: readonly string[] | undefined;
  /**
   * For a model with a Router: the route of each column, or a task such as `query` or `document`, which the Router maps
   * to a route.
   * @default the default route of the model
   */
  readonly routes?: readonly (string | undefined)[] | undefined;
}

/**
 * Checks that the columns and labels of a set match its loss.
 * @throws SentvecError `invalid-corpus`, with the row, when the set is empty, lacks columns or labels, or has labels
 * that the loss cannot use; `invalid-argument` when a column of a reranker other than the first has a prompt
 */
export function checkTrainingSet({ name, examples, loss, prompts }: TrainingSet, batchSize: number): void {
  const { columns, labels, labelWidth = 1 } = examples;
  const rows = columns[0]?.length ?? 0;
  const { least, most } = loss.columns;
  const corpusError = (problem: string, row?: number) =>
    new SentvecError('invalid-corpus', `${name}: ${problem}`, { file: name, row });
  if (rows === 0) throw corpusError('there are no examples. Check the file and the names of the columns.');
  if (columns.length < least || columns.length > most) {
    const wanted = least === most ? `${least}` : most === Infinity ? `at least ${least}` : `${least} to ${most}`;
    throw corpusError(`${loss.name} needs ${wanted} columns of texts, not ${columns.length}.`);
  }
  const second = loss.over === 'scores' ? (prompts ?? []).findIndex((prompt, at) => at > 0 && prompt !== '') : -1;
  if (second > 0)
    throw new SentvecError(
      'invalid-argument',
      `${name}: column ${second + 1} has the prompt ${JSON.stringify(prompts![second])}, but a reranker reads a pair as one input with one prompt, that of the first column. Give the other columns none (null in a configuration).`,
      { file: name },
    );
  const smallest = loss.smallestBatch ?? 1;
  if (Math.min(rows, batchSize) < smallest) {
    throw corpusError(
      `${loss.name} compares the examples of a batch with each other, so a batch needs at least ${smallest} examples; there are ${rows} examples in batches of ${batchSize}.`,
    );
  }
  if (loss.labels === 'none') return;
  if (labels === undefined)
    throw corpusError(`${loss.name} needs a label for each example: name the column that holds it.`);
  if (labels.length !== rows * labelWidth)
    throw corpusError(`there are ${labels.length / labelWidth} labels for ${rows} examples.`);
  const widthError = labelWidthError(loss, examples);
  if (widthError !== undefined) throw corpusError(widthError);
  const areNumbers = Array.prototype.every.call(labels, isNumber);
  for (let i = 0; i < labels.length; i++) {
    const problem = loss.labels === 'class' ? classError(loss, labels[i]!, areNumbers) : labelError(loss, labels[i]!);
    const row = Math.floor(i / labelWidth);
    if (problem) throw corpusError(`row ${row} has the label ${labels[i]}, ${problem}.`, row);
  }
  if (loss.labels === 'class' || loss.labels === 'binary' || loss.labelCount !== undefined)
    checkClasses(labels, loss, corpusError);
}

/** Describes a label width that the loss cannot use, such as one number where it needs a list. */
function labelWidthError(loss: TrainingLoss, { columns, labelWidth }: ExampleTable): string | undefined {
  const width = labelWidth ?? 1;
  if (loss.labels === 'vector' || loss.labels === 'vectors')
    return labelWidth === undefined ? `${loss.name} needs a vector, a list of numbers, for each example` : undefined;
  if (loss.labels === 'guide')
    return labelWidth !== undefined && width % columns.length === 0
      ? undefined
      : `${loss.name} needs the guide's vectors of the ${columns.length} texts of an example in one list, not ${width} numbers.`;
  if (loss.labels === 'targets') return undefined;
  if (loss.labels === 'scores' || loss.labels === 'lists')
    return width === columns.length - 1
      ? undefined
      : `${loss.name} needs ${columns.length - 1} numbers for each example, ${loss.labels === 'lists' ? 'one for each document' : 'one for the positive and one for each negative'}, not ${width}.`;
  if (loss.labels !== 'margin')
    return width === 1 ? undefined : `${loss.name} needs one number for each example, not a list of ${width}.`;
  const negatives = columns.length - 2;
  if (width === negatives || width === negatives + 1) return undefined;
  return `${loss.name} needs ${negatives} numbers for each example, one for each negative (or ${negatives + 1}: first one for the positive), not ${width}.`;
}

function isNumber(label: string | number): boolean {
  return typeof label === 'number' || (label.trim() !== '' && !Number.isNaN(Number(label)));
}

/** Any class name is allowed. But if all names are numbers and some are fractions, they are probably scores. */
function classError(loss: TrainingLoss, label: string | number, areNumbers: boolean): string | undefined {
  if (areNumbers && !Number.isInteger(Number(label))) return `but ${loss.name} needs a class: a whole number or a name`;
  return undefined;
}

function labelError(loss: TrainingLoss, label: string | number): string | undefined {
  if (loss.labels === 'lists' && label === absentDocument) return undefined;
  // The model's label2id maps names to numbers later.
  if (loss.labels === 'index' && typeof label === 'string') return undefined;
  if (typeof label === 'string' || !Number.isFinite(label)) return 'which is not a finite number';
  if (loss.labels === 'binary' && label !== 0 && label !== 1)
    return `but ${loss.name} needs 1 for similar and 0 for dissimilar`;
  if (loss.labels === 'targets' && (label < 0 || label > 1))
    return `but ${loss.name} needs a number from 0 (the label does not apply) to 1 (it applies): divide larger scores by the largest one (labelScale)`;
  if (loss.labels === 'index' && !(Number.isInteger(label) && label >= 0))
    return `but ${loss.name} needs the name of a label, or its number, counted from 0`;
  if (loss.labelCount !== undefined && label >= loss.labelCount)
    return `but ${loss.name} has ${loss.labelCount} labels, counted from 0: set num_labels to the number of labels`;
  if (loss.name === 'CosineSimilarityLoss' && (label < -1 || label > 1)) {
    return `but a cosine is between -1 and 1: divide the scores by the largest one (labelScale)`;
  }
  return undefined;
}

function checkClasses(
  labels: ArrayLike<number | string>,
  loss: TrainingLoss,
  corpusError: (problem: string) => SentvecError,
): void {
  const counts = new Map<number | string, number>();
  for (let i = 0; i < labels.length; i++) counts.set(labels[i]!, (counts.get(labels[i]!) ?? 0) + 1);
  if (counts.size < 2)
    throw corpusError(`all labels are ${labels[0]}. ${loss.name} needs examples of at least two classes.`);
  if (loss.labels === 'class' && ![...counts.values()].some((count) => count > 1)) {
    throw corpusError(
      `no class has two examples. ${loss.name} needs a class with at least two examples, because it pulls examples of a class together.`,
    );
  }
}
