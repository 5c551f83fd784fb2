/** Decides how a request starts, depending on the contents of its output folder. */
import { SentvecError } from '@sentvec/core';
import type { Manifest, Space } from '../manifest.ts';
import type { CorpusOptions, CorpusRequest } from '../request.ts';
import type { FoundInput } from '../inputs/find-inputs.ts';
import { compareFileStates } from '../inputs/input-file.ts';
import { findRun, readRunInputs, type CorpusRun } from './corpus-run.ts';
import type { OutputState } from './run-folder.ts';
import { differingParts, spaceMismatchError } from './space.ts';

/** Everything that the output of a request depends on. */
export interface WantedRun {
  readonly output: string;
  readonly space: Space;
  readonly options: CorpusOptions;
  readonly inputs: readonly FoundInput[];
}

/** How a run starts. */
export type Start =
  /** Continue the unfinished run in the folder. */
  | { readonly kind: 'continue'; readonly run: CorpusRun }
  /** Begin a new run, which may reuse shards of an unfinished or a finished run if their rows are the same. */
  | { readonly kind: 'begin'; readonly earlier?: EarlierRun | undefined };

/** A run whose shards may be reused. */
export type EarlierRun =
  | {
      readonly kind: 'unfinished';
      readonly run: CorpusRun;
      readonly found: readonly FoundInput[];
      /** The output that the unfinished run was updating. Its shards may be reused too. */
      readonly manifest?: Manifest | undefined;
    }
  | {
      readonly kind: 'finished';
      readonly manifest: Manifest;
      /** Whether to embed chunks with rejected or changed rows again. */
      readonly again: boolean;
    };

/**
 * Decides how a request starts. Vectors are never mixed with those of another space, and are replaced only on request.
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
      '`resume` keeps them, `update` embeds changed rows, `overwrite` replaces them; or choose another folder.';
    const problem = `${output} already contains finished embeddings of ${manifest.rows} rows`;
    throw outputConflictError(output, `${problem}: ${remedy}`);
  }
  checkSameOptions(output, { ...manifest.options, precision, format }, options);
  const names = manifest.inputs.map(({ file }) => file);
  if (!update && !haveNames(inputs, names)) throw otherInputsError(output);
  return { kind: 'begin', earlier: { kind: 'finished', manifest, again: retryRejected === true || update === true } };
}

/** Streams are always read again, because their content may differ. */
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

/** Options that are part of the space's fingerprint, which is compared before. */
const optionsOfSpace: ReadonlySet<keyof CorpusOptions> = new Set(['as', 'prompt', 'route', 'task']);

function differingOptions(there: CorpusOptions, here: CorpusOptions): string[] {
  const names = Object.keys({ ...here, ...there }) as (keyof CorpusOptions)[];
  return names
    .filter((name) => !optionsOfSpace.has(name))
    .filter((name) => JSON.stringify(there[name]) !== JSON.stringify(here[name]))
    .map((name) => `${name} was ${JSON.stringify(there[name])} and is ${JSON.stringify(here[name])}`);
}

/** Whether an output has this space and these options. */
function fits({ fingerprint, options, precision, format }: Manifest, space: Space, here: CorpusOptions): boolean {
  return fingerprint === space.fingerprint && differingOptions({ ...options, precision, format }, here).length === 0;
}

function checkSameOptions(output: string, there: CorpusOptions, here: CorpusOptions): void {
  const differences = differingOptions(there, here);
  if (differences.length === 0) return;
  throw outputConflictError(
    output,
    `${output} was started with other options: ${differences.join('; ')}. Use the same options, or \`overwrite\`.`,
  );
}

function haveNames(inputs: readonly FoundInput[], names: readonly string[]): boolean {
  return names.join('\n') === inputs.map(({ name }) => name).join('\n');
}

function otherInputsError(output: string): SentvecError {
  const remedy = 'Use the same inputs, `update` to embed the new ones, or `overwrite`.';
  return outputConflictError(output, `${output} was started with other inputs. ${remedy}`);
}

/** The error for an input that has changed but must not. */
export function otherContentError(output: string, input: string, remedy: string): SentvecError {
  return outputConflictError(input, `${input} has changed since the run in ${output} was started. ${remedy}`);
}

/** The error for an unfinished run in the output folder. Another process may still be working on it. */
export function unfinishedError(output: string): SentvecError {
  const remedy = '`resume` continues it, `overwrite` starts over; or choose another folder.';
  const message = `${output} contains an unfinished run: ${remedy}`;
  return new SentvecError('invalid-output', message, { file: output, unfinished: true });
}

/** The error for a request that would restore removed rows. */
export function updatedError(output: string): SentvecError {
  const problem = `Single rows of ${output} were removed or replaced, which its inputs do not contain`;
  return outputConflictError(output, `${problem}. Embed the whole corpus again with \`overwrite\`.`);
}

/** The error for an output folder whose contents conflict with the request. */
function outputConflictError(file: string, message: string): SentvecError {
  return new SentvecError('invalid-output', message, { file });
}
