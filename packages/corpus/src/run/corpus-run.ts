/** The type of a prepared run, and reading it from its folder. */
import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import type { FoundInput } from '../inputs/find-inputs.ts';
import { fileStateEntries } from '../inputs/input-file.ts';
import type { InspectedInput } from '../inputs/inspect-input.ts';
import { jsonSchemas } from '../json-file.ts';
import { manifestSchemas, type Space } from '../manifest.ts';
import { choiceSchemas, type CorpusOptions } from '../request.ts';
import type { IdType } from '../rows/row.ts';
import { readRunFile, runFolder, runNotOpenError } from './run-folder.ts';

/** A prepared run. Any process with access to the output folder can plan and embed it. Small JSON. */
export interface CorpusRun {
  /** The unique key of the run: 32 hexadecimal digits. */
  readonly key: string;
  /** Absolute path of the output folder. */
  readonly output: string;
  readonly space: Space;
  readonly options: CorpusOptions;
  readonly idType: IdType;
  readonly strict: boolean;
  /** Total size of the unpacked inputs in bytes. */
  readonly totalBytes: number;
}

/** The inputs of a run, as found and as inspected. JSON. */
export interface RunInputs {
  readonly found: readonly FoundInput[];
  readonly inspected: readonly InspectedInput[];
}

/** See {@link CorpusRun.key}. */
export function newRunKey(): string {
  return randomUUID().replaceAll('-', '');
}

/**
 * Opens an unfinished run that {@link prepareCorpus} has prepared, by its output folder and its key.
 *
 * @throws SentvecError `invalid-output` when the run was committed or replaced, or its files are damaged; `io-failed`
 */
export async function openRun(output: string, key: string): Promise<CorpusRun> {
  const run = await findRun(output, key);
  if (run === undefined) throw runNotOpenError(output);
  return run;
}

/** Like {@link openRun}, but returns `undefined` if there is no such run. */
export async function findRun(output: string, key: string): Promise<CorpusRun | undefined> {
  const run = await readRunFile(runFolder({ output, key }).run, runSchema);
  return run && { ...run, output };
}

/**
 * @throws SentvecError `invalid-output` when the run was committed or replaced, or its files are damaged; `io-failed`
 */
export async function readRunInputs(run: CorpusRun): Promise<RunInputs> {
  const inputs = await readRunFile(runFolder(run).inputs, inputsSchema);
  if (inputs === undefined) throw runNotOpenError(run.output);
  return inputs;
}

const { count, strings } = jsonSchemas;

const runSchema: v.GenericSchema<Omit<CorpusRun, 'output'>> = v.object({
  key: v.string(),
  space: manifestSchemas.space,
  options: manifestSchemas.options,
  idType: manifestSchemas.idType,
  strict: v.boolean(),
  totalBytes: count,
});

const foundInput: v.GenericSchema<FoundInput> = v.object({
  name: v.string(),
  path: v.string(),
  kind: v.picklist(['file', 'stream']),
  ...fileStateEntries,
});

const inspectedInput: v.GenericSchema<InspectedInput> = v.object({
  name: v.string(),
  path: v.string(),
  format: choiceSchemas.inputFormat,
  start: count,
  firstLine: count,
  lineEnd: v.picklist(['lf', 'cr']),
  ...fileStateEntries,
  columns: v.optional(strings),
});

const inputsSchema: v.GenericSchema<RunInputs> = v.object({
  found: v.array(foundInput),
  inspected: v.array(inspectedInput),
});
