// Reads the examples of a training configuration from their files.
import { resolve } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { readTable, type Table } from '@sentvec/corpus';
import { examplesOfClasses } from '../data/examples-of-classes.ts';
import { listsOfQueries } from '../data/lists-of-queries.ts';
import {
  byLength,
  groupedByLabel,
  inOrder,
  noDuplicates,
  shuffled,
  type ExampleTable,
  type Sampler,
} from '../data/samplers.ts';
import type { TrainingSet } from '../data/training-set.ts';
import type { TrainingLoss } from '../loss.ts';
import { lossOf, type DataConfig, type RouterMapping, type TrainingConfig } from './config.ts';
import type { LoadedTrainable } from './load-trainable.ts';

const samplers: Readonly<Record<NonNullable<DataConfig['sampler']>, Sampler>> = {
  shuffled,
  inOrder,
  noDuplicates,
  groupedByLabel,
  byLength,
};

/** A training set before the model is known: without prompts and routes. */
export type ConfiguredExamples = Omit<TrainingSet, 'prompts' | 'routes'>;

/** Reads the examples of a data set. @throws SentvecError `invalid-corpus` */
export async function readExamples(
  data: DataConfig,
  directory: string,
  { kind, seed }: Pick<TrainingConfig, 'kind' | 'seed'>,
): Promise<ConfiguredExamples> {
  const loss = lossOf(data, kind);
  const areNames = loss.labels === 'class' || loss.labels === 'index' || data.fromClasses !== undefined;
  const labelKind = areNames ? 'class' : 'number';
  const table = await readTable({ ...data, labelKind, file: resolve(directory, data.file) });
  const set = {
    name: data.file,
    examples: examplesOf(table, data, loss),
    loss,
    sampler: data.sampler && samplers[data.sampler],
  };
  if (loss.labelCount === undefined) return set;
  const labels = namesOfLabels([set]);
  return {
    ...set,
    examples: withLabelNumbers(set, labels),
    loss: lossOf(data, kind, { labels: Math.max(2, labels.length), seed }),
  };
}

function examplesOf(table: Table, data: DataConfig, loss: TrainingLoss): ExampleTable {
  const { columns, classes } = table;
  if (classes === undefined) {
    const examples = { columns, ...flatLabels(table, data) };
    return loss.labels === 'lists' ? listsOfQueries(examples, data.file) : examples;
  }
  if (data.fromClasses === undefined) return { columns, labels: classes };
  return examplesOfClasses(columns[0] ?? [], classes, data.fromClasses);
}

/**
 * Completes a training set for a model: adds the texts of its prompts and the routes of the columns, and replaces label
 * names by the model's label ids.
 * @throws SentvecError `invalid-argument` for a prompt that the model does not have; `invalid-corpus` for a label that
 * the model does not have, or when the number of labels differs from the model's
 */
export function forModel(
  set: ConfiguredExamples,
  data: DataConfig,
  loaded: LoadedTrainable,
  routerMapping?: RouterMapping,
): TrainingSet {
  const { prompts } = data;
  checkLabelCount(set, loaded);
  return {
    ...set,
    examples: hasLabelsOfModel(set) ? withLabelNumbers(set, loaded.labels) : set.examples,
    prompts: prompts?.map((name) => promptText(name, loaded.folder.prompts)),
    routes: routesOfColumns(set, data, loaded, data.routerMapping ?? routerMapping),
  };
}

/** @throws SentvecError `invalid-argument` when a model with a Router has no mapping, or a mapping has no Router */
function routesOfColumns(
  { examples }: ConfiguredExamples,
  { columns }: DataConfig,
  { files, reader: { router } }: LoadedTrainable,
  mapping: RouterMapping = {},
): TrainingSet['routes'] {
  const isMapped = Object.keys(mapping).length > 0;
  if (router === undefined && !isMapped) return undefined;
  if (router === undefined)
    throw new SentvecError('invalid-argument', `routerMapping: ${files.name} has no Router. Remove routerMapping.`);
  if (!isMapped)
    throw new SentvecError(
      'invalid-argument',
      `${files.name} has the routes ${Object.keys(router.readers).join(', ')}. Set the route of each column by "routerMapping", such as { ${JSON.stringify(String(columns[0]))}: "query" }.`,
      { file: files.name },
    );
  // All columns of pairs and triplets made from classes come from one column of the file.
  const routes = examples.columns.map((_, index) => mapping[String(columns[index] ?? columns[0])]);
  for (const task of routes) router.routeOf(task);
  return routes;
}

function hasLabelsOfModel({ loss }: ConfiguredExamples): boolean {
  return loss.labels === 'index' && loss.labelCount === undefined;
}

/** The label names of a new classification head for the examples; `undefined` if one output is enough. */
export function labelNames(sets: readonly ConfiguredExamples[]): readonly string[] | undefined {
  const widest = Math.max(
    0,
    ...sets.map(({ loss, examples }) => (loss.labels === 'targets' ? (examples.labelWidth ?? 1) : 0)),
  );
  if (widest > 1) return numbered(widest);
  const names = namesOfLabels(sets.filter(hasLabelsOfModel));
  return names.length === 0 ? undefined : names;
}

/** The sorted names of all labels. If all are numbers: LABEL_0 up to the largest number. */
function namesOfLabels(sets: readonly ConfiguredExamples[]): readonly string[] {
  const found = new Set(sets.flatMap(({ examples }) => Array.from(examples.labels ?? [], String)));
  const names = [...found].sort();
  const areNumbers = names.length > 0 && names.every((name) => wholeNumber.test(name));
  return areNumbers ? numbered(1 + Math.max(...names.map(Number))) : names;
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, id) => `LABEL_${id}`);

const wholeNumber = /^\d{1,4}$/u;

function withLabelNumbers({ name: file, examples }: ConfiguredExamples, labels: readonly string[] = []): ExampleTable {
  if (examples.labels === undefined) return examples;
  const numberOf = new Map(labels.map((label, id) => [label, id]));
  const numbers = Array.from(examples.labels, (label, row) => {
    const text = String(label);
    const id = numberOf.get(text) ?? (wholeNumber.test(text) ? Number(text) : -1);
    if (id >= 0 && id < labels.length) return id;
    throw new SentvecError(
      'invalid-corpus',
      `${file}: row ${row} has the label ${JSON.stringify(label)}; the model has ${labels.map((each) => JSON.stringify(each)).join(', ')}.`,
      { file, row },
    );
  });
  return { ...examples, labels: Float32Array.from(numbers) };
}

function checkLabelCount({ name: file, loss, examples }: ConfiguredExamples, { labels }: LoadedTrainable): void {
  if (labels === undefined || loss.labels === 'index') return;
  const wanted = loss.labels === 'targets' ? (examples.labelWidth ?? 1) : 1;
  if (wanted === labels.length) return;
  throw new SentvecError(
    'invalid-corpus',
    `${file}: ${loss.name} with this data needs a model with ${wanted} label${wanted === 1 ? '' : 's'}, but this model has ${labels.length}: ${labels.join(', ')}.`,
    { file },
  );
}

function flatLabels(
  { labels }: Table,
  { labelScale, file }: DataConfig,
): { labels?: Float32Array; labelWidth?: number } {
  if (labels === undefined) return {};
  const widths = new Set(labels.map((label) => (typeof label === 'number' ? undefined : label.length)));
  if (widths.size > 1)
    throw new SentvecError(
      'invalid-corpus',
      `${file}: the labels of the rows have different lengths. All must be numbers, or lists of the same length.`,
      { file },
    );
  const [width] = widths;
  const flat = Float32Array.from(labels.flat(), (label) => label / labelScale);
  return { labels: flat, ...(width === undefined ? {} : { labelWidth: width }) };
}

/**
 * The text of a prompt; '' for `null`.
 * @throws SentvecError `invalid-argument` for a prompt that the model does not have
 */
export function promptText(name: string | null, prompts: Readonly<Record<string, string>>): string {
  if (name === null) return '';
  if (Object.hasOwn(prompts, name)) return prompts[name]!;
  throw new SentvecError(
    'invalid-argument',
    `The model has no prompt "${name}"; it has ${Object.keys(prompts).join(', ') || 'none'}.`,
  );
}
