/** Decides how a request starts, given what is in its output folder already. */
import { SentvecError } from '@sentvec/core';
import type { Manifest, Space } from '../manifest.ts';
import type { CorpusOptions, CorpusRequest } from '../request.ts';
import type { FoundInput } from '../inputs/find-inputs.ts';
import { compareFileStates } from '../inputs/input-file.ts';
import { findRun, readRunInputs, type CorpusRun } from './corpus-run.ts';
import type { OutputState } from './run-folder.ts';
import { differingParts, spaceMismatchError } from './space.ts';

/** A request with everything that decides its output. */
export interface WantedRun {
  readonly output: string;
  readonly space: Space;
  readonly options: CorpusOptions;
  readonly inputs: readonly FoundInput[];
}

/** How a run starts. */
export type Start =
  /** The unfinished run in the folder is continued. */
  | { readonly kind: 'continue'; readonly run: CorpusRun }
  /** A new run begins, which may reuse the shards that an unfinished or a finished run made from the same rows. */
  | { readonly kind: 'begin'; readonly earlier?: EarlierRun | undefined };

/** The run in the folder whose shards may be reused. */
export type EarlierRun =
  | {
      readonly kind: 'unfinished';
      readonly run: CorpusRun;
      readonly found: readonly FoundInput[];
      /** The output that the run was about to update, whose shards may be reused, too. */
      readonly manifest?: Manifest | undefined;
    }
  | {
      readonly kind: 'finished';
      readonly manifest: Manifest;
      /** Whether chunks with rejected rows are embedded again, and rows that have changed. */
      readonly again: boolean;
    };

/**
 * Decides what a request means for what is in its output folder: vectors are never mixed with those of another space,
 * and replaced only on request.
 *
 * @throws SentvecError `space-mismatch`, `invalid-output`
 */
export async function decideStart(request: CorpusRequest, wanted: WantedRun, state: OutputState): Promise<Start> {
  const { manifest, unfinished } = state;
  const { overwrite, resume, update } = request;
  if (overwrite) return { kind: 'begin' };
  const [key] = unfinished;
  const run = key === undefined ? undefined : await findRun(wanted.output, key);
  if (run) return startFromUnfinished(request, wanted, run, manifest);
  if (manifest) checkSameSpace(manifest, wanted);
  if (manifest?.complete) return startFromFinished(request, wanted, manifest);
  if (manifest && !resume && !update) throw unfinishedError(wanted.output);
  return { kind: 'begin' };
}

function startFromFinished(
  { resume, retryRejected, update }: CorpusRequest,
  wanted: WantedRun,
  manifest: Manifest,
): Start {
  const { output, options, inputs } = wanted;
  const { precision, format } = manifest;
  if (!resume && !retryRejected && !update) {
    const remedy =
      '`resume` leaves them as they are, `update` embeds what has changed, `overwrite` replaces them; or choose another folder.';
    const problem = `${output} holds finished embeddings of ${manifest.rows} rows`;
    throw outputConflictError(output, `${problem}: ${remedy}`);
  }
  checkSameOptions(output, { ...manifest.options, precision, format }, options);
  const names = manifest.inputs.map(({ file }) => file);
  if (!update && !haveNames(inputs, names)) throw otherInputsError(output);
  return { kind: 'begin', earlier: { kind: 'finished', manifest, again: retryRejected === true || update === true } };
}

/** An input that can be read only once is always read again: it may give something else. */
async function startFromUnfinished(
  { resume, update, verify }: CorpusRequest,
  wanted: WantedRun,
  run: CorpusRun,
  manifest: Manifest | undefined,
): Promise<Start> {
  const { output, inputs, options } = wanted;
  checkSameSpace({ ...run.space, precision: run.options.precision }, wanted);
  if (!resume && !update) throw unfinishedError(output);
  checkSameOptions(output, run.options, wanted.options);
  const { found } = await readRunInputs(run);
  const sameNames = haveNames(
    inputs,
    found.map(({ name }) => name),
  );
  if (!update && !sameNames) throw otherInputsError(output);
  const isSame = (before: FoundInput, index: number): boolean => {
    const now = inputs[index]!;
    return now.kind === 'file' && compareFileStates(before, now) === 'same';
  };
  if (sameNames && found.every(isSame) && !verify) return { kind: 'continue', run };
  const reuse = update && manifest?.complete && fits(manifest, wanted.space, options) ? manifest : undefined;
  return { kind: 'begin', earlier: { kind: 'unfinished', run, found, manifest: reuse } };
}

function checkSameSpace(
  there: Space & { readonly precision: CorpusOptions['precision'] },
  { output, space, options }: WantedRun,
): void {
  const parts = differingParts(there.fingerprintParts, space.fingerprintParts);
  if (there.precision !== options.precision) parts.push('precision');
  if (parts.length > 0 || there.fingerprint !== space.fingerprint)
    throw spaceMismatchError(output, there, space, parts);
}

/** The options whose effect is in the fingerprint of the space, which was compared before. */
const optionsOfSpace: ReadonlySet<keyof CorpusOptions> = new Set(['as', 'prompt', 'route', 'task']);

function differingOptions(there: CorpusOptions, here: CorpusOptions): string[] {
  const names = Object.keys({ ...here, ...there }) as (keyof CorpusOptions)[];
  return names
    .filter((name) => !optionsOfSpace.has(name))
    .filter((name) => JSON.stringify(there[name]) !== JSON.stringify(here[name]))
    .map((name) => `${name} was ${JSON.stringify(there[name])} and is ${JSON.stringify(here[name])}`);
}

/** Whether an output is of a space, and was made with these options. */
function fits({ fingerprint, options, precision, format }: Manifest, space: Space, here: CorpusOptions): boolean {
  return fingerprint === space.fingerprint && differingOptions({ ...options, precision, format }, here).length === 0;
}

function checkSameOptions(output: string, there: CorpusOptions, here: CorpusOptions): void {
  const differences = differingOptions(there, here);
  if (differences.length === 0) return;
  throw outputConflictError(
    output,
    `${output} was started with other options: ${differences.join('; ')}. Use the same ones, or \`overwrite\`.`,
  );
}

function haveNames(inputs: readonly FoundInput[], names: readonly string[]): boolean {
  return names.join('\n') === inputs.map(({ name }) => name).join('\n');
}

function otherInputsError(output: string): SentvecError {
  const remedy = 'Use the same ones, `update` to embed what is new, or `overwrite`.';
  return outputConflictError(output, `${output} was started with other inputs. ${remedy}`);
}

/** The error of an input that must be what it was, and is not. */
export function otherContentError(output: string, input: string, remedy: string): SentvecError {
  return outputConflictError(input, `${input} has changed since ${output} was started. ${remedy}`);
}

/** The error of a request that finds an unfinished run, which may be going on in another process. */
export function unfinishedError(output: string): SentvecError {
  const remedy = '`resume` continues it, `overwrite` starts over; or choose another folder.';
  const message = `${output} holds an unfinished run: ${remedy}`;
  return new SentvecError('invalid-output', message, { file: output, unfinished: true });
}

/** The error of a request that would bring back rows that were removed. */
export function updatedError(output: string): SentvecError {
  const problem = `Rows of ${output} were removed or replaced since it was made, which its inputs do not say`;
  return outputConflictError(output, `${problem}: embed the whole corpus again with \`overwrite\`.`);
}

/** The error for an output folder that holds something else than the request wants. */
function outputConflictError(file: string, message: string): SentvecError {
  return new SentvecError('invalid-output', message, { file });
}
