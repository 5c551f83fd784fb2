/** Decides what a request means for what is in its output folder already. */
import { SentvecError } from '@sentvec/core';
import type { Manifest, Space } from '../manifest.ts';
import type { CorpusOptions, CorpusRequest } from '../request.ts';
import type { FoundInput } from '../inputs/find-inputs.ts';
import { findRun, readRunInputs, type CorpusRun } from './corpus-run.ts';
import type { OutputState } from './output-folder.ts';
import { differingParts, spaceMismatchError } from './space.ts';

/** A request with everything that decides its output. */
export interface WantedRun {
  readonly output: string;
  readonly key: string;
  readonly space: Space;
  readonly options: CorpusOptions;
  readonly inputs: readonly FoundInput[];
}

/** How a run starts. */
export type Start =
  | {
      readonly kind: 'begin';
      /** Unpacked copies of an interrupted preparation are used again. */
      readonly keepUnpacked: boolean;
      /** The finished run whose shards without rejected rows are taken over. */
      readonly retried: Manifest | undefined;
    }
  | { readonly kind: 'continue' }
  | { readonly kind: 'finished'; readonly manifest: Manifest };

/**
 * Decides what a request means for what is in its output folder: vectors are never mixed with those of another space,
 * and replaced only on request.
 *
 * @throws SentvecError `space-mismatch`, `invalid-output`
 */
export async function decideStart(request: CorpusRequest, wanted: WantedRun, state: OutputState): Promise<Start> {
  const { manifest } = state;
  if (request.overwrite) return { kind: 'begin', keepUnpacked: false, retried: undefined };
  if (manifest) checkSameSpace(manifest, wanted);
  return manifest?.complete
    ? startFromFinished(request, wanted, manifest)
    : startFromUnfinished(request, wanted, state);
}

function startFromFinished({ resume, retryRejected }: CorpusRequest, wanted: WantedRun, manifest: Manifest): Start {
  const { output, options, inputs } = wanted;
  const { precision, format } = manifest;
  if (!resume && !retryRejected) {
    const remedy = '`resume` leaves them as they are, `overwrite` replaces them; or choose another folder.';
    const problem = `${output} holds finished embeddings of ${manifest.rows} rows`;
    throw outputConflictError(output, `${problem}: ${remedy}`);
  }
  checkSameOptions(output, { ...manifest.options, precision, format }, options);
  const there = manifest.inputs.map(({ file, bytes }) => ({ name: file, bytes }));
  checkSameInputs(
    output,
    there,
    inputs,
    (one, other) => retryRejected === true || other.kind === 'stream' || one.bytes === other.bytes,
  );
  if (resume || manifest.rejected === 0) return { kind: 'finished', manifest };
  return { kind: 'begin', keepUnpacked: false, retried: manifest };
}

async function startFromUnfinished(
  { resume }: CorpusRequest,
  wanted: WantedRun,
  { manifest, unfinished }: OutputState,
): Promise<Start> {
  const { output, key } = wanted;
  const ready = await readyRuns(output, unfinished);
  if (!resume && (manifest || ready.length > 0)) {
    const remedy = '`resume` continues it, `overwrite` starts anew; or choose another folder.';
    throw outputConflictError(output, `${output} holds an unfinished run: ${remedy}`);
  }
  if (ready.some((run) => run.key === key)) return { kind: 'continue' };
  const [other] = ready;
  if (other) await explainDifference(other, wanted);
  return { kind: 'begin', keepUnpacked: resume ?? false, retried: undefined };
}

/** Runs whose preparation has reached its end. */
async function readyRuns(output: string, keys: readonly string[]): Promise<CorpusRun[]> {
  const runs: CorpusRun[] = [];
  for (const key of keys) {
    const run = await findRun(output, key);
    if (run) runs.push(run);
  }
  return runs;
}

/** Says why an unfinished run is not the one that is wanted. */
async function explainDifference(run: CorpusRun, wanted: WantedRun): Promise<void> {
  const { output } = wanted;
  checkSameSpace({ ...run.space, precision: run.options.precision }, wanted);
  checkSameOptions(output, run.options, wanted.options);
  const { found } = await readRunInputs(run);
  checkSameInputs(
    output,
    found,
    wanted.inputs,
    (one, other) => one.bytes === other.bytes && one.modified === other.modified,
  );
  throw outputConflictError(
    output,
    `${output} holds an unfinished run of another version of sentvec. \`overwrite\` starts anew.`,
  );
}

function checkSameSpace(
  there: Space & { readonly precision: CorpusOptions['precision'] },
  { output, space, options }: WantedRun,
): void {
  const parts = differingParts(there.fingerprintParts, space.fingerprintParts);
  if (there.precision !== options.precision) parts.push('precision');
  if (parts.length > 0 || there.fingerprint !== space.fingerprint)
    throw spaceMismatchError(output, there.model, space.model, parts);
}

function checkSameOptions(output: string, there: CorpusOptions, here: CorpusOptions): void {
  const names = Object.keys(here) as (keyof CorpusOptions)[];
  const differences = names
    .filter((name) => JSON.stringify(there[name]) !== JSON.stringify(here[name]))
    .map((name) => `${name} was ${JSON.stringify(there[name])} and is ${JSON.stringify(here[name])}`);
  if (differences.length === 0) return;
  throw outputConflictError(
    output,
    `${output} was started with other options: ${differences.join('; ')}. Use the same ones, or \`overwrite\`.`,
  );
}

function checkSameInputs<T extends { readonly name: string }>(
  output: string,
  there: readonly T[],
  here: readonly FoundInput[],
  same: (there: T, here: FoundInput) => boolean,
): void {
  const names = (inputs: readonly { readonly name: string }[]): string => inputs.map(({ name }) => name).join('\n');
  if (names(there) !== names(here))
    throw outputConflictError(output, `${output} was started with other inputs. Use the same ones, or \`overwrite\`.`);
  const changed = here.find((input, index) => !same(there[index]!, input));
  if (!changed) return;
  const message = `${changed.name} has changed since ${output} was started. \`overwrite\` starts anew with the file as it is now.`;
  throw outputConflictError(changed.name, message);
}

/** The error for an output folder that holds something else than the request wants. */
function outputConflictError(file: string, message: string): SentvecError {
  return new SentvecError('invalid-output', message, { file });
}
