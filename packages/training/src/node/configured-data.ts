import { resolve } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { evaluateSts } from '../evaluation/sts.ts';
import { evaluateTriplets } from '../evaluation/triplet.ts';
import { byLength, groupedByLabel, inOrder, noDuplicates, shuffled, type Sampler } from '../samplers.ts';
import type { TrainingRequest } from '../trainer.ts';
import type { TrainingSet } from '../training-set.ts';
import { lossOf, type DataConfig, type EvaluationConfig } from './config.ts';
import type { LoadedTrainable } from './load-trainable.ts';
import { readTable, type Table } from './read-table.ts';

const samplers: Readonly<Record<NonNullable<DataConfig['sampler']>, Sampler>> = {
  shuffled,
  inOrder,
  noDuplicates,
  groupedByLabel,
  byLength,
};

/** Reads the examples of a data set. @throws SentvecError `invalid-corpus`, `invalid-argument` */
export async function readTrainingSet(data: DataConfig, { folder }: LoadedTrainable, directory: string): Promise<TrainingSet> {
  const table = await readTable({ ...data, file: resolve(directory, data.file) });
  const labels = flatLabels(table, data);
  return {
    name: data.file,
    examples: { columns: table.columns, ...labels },
    loss: lossOf(data),
    sampler: data.sampler && samplers[data.sampler],
    prompts: data.prompts?.map((name) => promptText(name, folder.prompts)),
  };
}

/** Makes the judge of a configuration. @throws SentvecError `invalid-corpus`, `invalid-argument` */
export async function readEvaluation(
  { type, columns, label, header, file }: EvaluationConfig,
  { folder }: LoadedTrainable,
  directory: string,
): Promise<NonNullable<TrainingRequest['evaluate']>> {
  const table = await readTable({ file: resolve(directory, file), columns, label, header });
  const [first = [], second = [], third] = table.columns;
  const similarity = folder.similarityFunction;
  if (type === 'triplet') {
    if (third === undefined) throw new SentvecError('invalid-argument', 'evaluation: triplet needs 3 columns: anchor, positive, negative.');
    return (embed) => evaluateTriplets(embed, { anchors: first, positives: second, negatives: third }, similarity);
  }
  if (table.labels === undefined)
    throw new SentvecError('invalid-argument', 'evaluation: sts needs a "label", the column with the scores.');
  const scores = Float32Array.from(table.labels, Number);
  return (embed) => evaluateSts(embed, { first, second, scores }, similarity);
}

function flatLabels({ labels }: Table, { labelScale, file }: DataConfig): { labels?: Float32Array; labelWidth?: number } {
  if (labels === undefined) return {};
  const widths = new Set(labels.map((label) => (typeof label === 'number' ? undefined : label.length)));
  if (widths.size > 1) throw new SentvecError('invalid-corpus', `${file}: the labels of different rows have different lengths.`, { file });
  const [width] = widths;
  const flat = Float32Array.from(labels.flat(), (label) => label / labelScale);
  return { labels: flat, ...(width === undefined ? {} : { labelWidth: width }) };
}

function promptText(name: string | null, prompts: Readonly<Record<string, string>>): string {
  if (name === null) return '';
  if (Object.hasOwn(prompts, name)) return prompts[name]!;
  throw new SentvecError('invalid-argument', `The model has no prompt "${name}"; it has ${Object.keys(prompts).join(', ') || 'none'}.`);
}
