// The examples of a configuration, read from their files.
import { resolve } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { readTable, type Table } from '@sentvec/corpus';
import { examplesOfClasses } from '../data/examples-of-classes.ts';
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
import { lossOf, type DataConfig } from './config.ts';
import type { LoadedTrainable } from './load-trainable.ts';

const samplers: Readonly<Record<NonNullable<DataConfig['sampler']>, Sampler>> = {
  shuffled,
  inOrder,
  noDuplicates,
  groupedByLabel,
  byLength,
};

/** Examples of a configuration as they stand in their file. */
export type ConfiguredExamples = Omit<TrainingSet, 'prompts'>;

/** Reads the examples of a data set. @throws SentvecError `invalid-corpus` */
export async function readExamples(data: DataConfig, directory: string): Promise<ConfiguredExamples> {
  const loss = lossOf(data);
  const labelKind = loss.labels === 'class' || data.fromClasses !== undefined ? 'class' : 'number';
  const table = await readTable({ ...data, labelKind, file: resolve(directory, data.file) });
  return {
    name: data.file,
    examples: examplesOf(table, data),
    loss,
    sampler: data.sampler && samplers[data.sampler],
  };
}

function examplesOf(table: Table, data: DataConfig): ExampleTable {
  const { columns, classes } = table;
  if (classes === undefined) return { columns, ...flatLabels(table, data) };
  if (data.fromClasses === undefined) return { columns, labels: classes };
  return examplesOfClasses(columns[0] ?? [], classes, data.fromClasses);
}

/**
 * Puts the texts of the model's prompts to the examples. @throws SentvecError `invalid-argument` for a prompt that the
 * model does not have
 */
export function withPrompts(
  examples: ConfiguredExamples,
  { prompts }: DataConfig,
  { folder }: LoadedTrainable,
): TrainingSet {
  return { ...examples, prompts: prompts?.map((name) => promptText(name, folder.prompts)) };
}

function flatLabels(
  { labels }: Table,
  { labelScale, file }: DataConfig,
): { labels?: Float32Array; labelWidth?: number } {
  if (labels === undefined) return {};
  const widths = new Set(labels.map((label) => (typeof label === 'number' ? undefined : label.length)));
  if (widths.size > 1)
    throw new SentvecError('invalid-corpus', `${file}: the labels of different rows have different lengths.`, { file });
  const [width] = widths;
  const flat = Float32Array.from(labels.flat(), (label) => label / labelScale);
  return { labels: flat, ...(width === undefined ? {} : { labelWidth: width }) };
}

/**
 * The text of a prompt; of none, nothing. @throws SentvecError `invalid-argument` for a prompt that the model does not
 * have
 */
export function promptText(name: string | null, prompts: Readonly<Record<string, string>>): string {
  if (name === null) return '';
  if (Object.hasOwn(prompts, name)) return prompts[name]!;
  throw new SentvecError(
    'invalid-argument',
    `The model has no prompt "${name}"; it has ${Object.keys(prompts).join(', ') || 'none'}.`,
  );
}
