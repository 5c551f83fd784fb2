import { SentvecError } from '@sentvec/core';
import type { Manifest } from '../manifest.ts';
import type { CorpusOptions, CorpusRequest } from '../request.ts';
import type { FoundInput } from '../sources/source.ts';
import { openRun, readRunSources, type CorpusRun, type Space } from './corpus-run.ts';
import type { OutputState } from './output-folder.ts';
import { differingParts, spaceMismatch } from './space.ts';

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
  | { readonly kind: 'begin'; readonly keep: boolean; readonly retried: Manifest | undefined }
  | { readonly kind: 'continue' }
  | { readonly kind: 'finished'; readonly manifest: Manifest };

/**
 * Decides what a request means for what is in its output folder: nothing is ever mixed with vectors of another space,
 * or replaced unasked.
 *
 * @throws SentvecError `space-mismatch`, `invalid-output`
 */
export async function decideStart(request: CorpusRequest, wanted: WantedRun, state: OutputState): Promise<Start> {
  const { manifest } = state;
  if (request.overwrite) return { kind: 'begin', keep: false, retried: undefined };
  if (manifest) mustBeSameSpace(manifest, wanted);
  return manifest?.complete ? ofFinished(request, wanted, manifest) : ofUnfinished(request, wanted, state);
}

function ofFinished({ resume, retryRejected }: CorpusRequest, wanted: WantedRun, manifest: Manifest): Start {
  const { output, options, inputs } = wanted;
  const { precision, format } = manifest;
  if (!resume && !retryRejected) {
    const remedy = '--resume leaves them as they are, --overwrite replaces them; or choose another folder.';
    throw inTheWay(output, `${output} holds finished embeddings of ${manifest.rows} rows: ${remedy}`);
  }
  mustBeSameOptions(output, { ...manifest.options, precision, format }, options);
  const there = manifest.inputs.map(({ file, bytes }) => ({ name: file, bytes }));
  mustBeSameInputs(
    output,
    there,
    inputs,
    (one, other) => retryRejected === true || other.kind === 'stream' || one.bytes === other.bytes,
  );
  if (resume || manifest.rejected === 0) return { kind: 'finished', manifest };
  return { kind: 'begin', keep: false, retried: manifest };
}

async function ofUnfinished(
  { resume }: CorpusRequest,
  wanted: WantedRun,
  { manifest, unfinished }: OutputState,
): Promise<Start> {
  const { output, key } = wanted;
  const ready = await readyRuns(output, unfinished);
  if (!resume && (manifest || ready.length > 0)) {
    throw inTheWay(
      output,
      `${output} holds an unfinished run: --resume continues it, --overwrite starts anew; or choose another folder.`,
    );
  }
  if (ready.some((run) => run.key === key)) return { kind: 'continue' };
  const [other] = ready;
  if (other) await explainDifference(other, wanted);
  return { kind: 'begin', keep: resume ?? false, retried: undefined };
}

/** Runs whose preparation is behind them. */
async function readyRuns(output: string, keys: readonly string[]): Promise<CorpusRun[]> {
  const runs: CorpusRun[] = [];
  for (const key of keys) {
    try {
      runs.push(await openRun(output, key));
    } catch (error) {
      if (!SentvecError.is(error, 'invalid-output')) throw error;
    }
  }
  return runs;
}

/** Says why an unfinished run is not the one that is wanted. */
async function explainDifference(run: CorpusRun, wanted: WantedRun): Promise<void> {
  const { output } = wanted;
  mustBeSameSpace({ ...run.space, precision: run.options.precision }, wanted);
  mustBeSameOptions(output, run.options, wanted.options);
  const { found } = await readRunSources(run);
  mustBeSameInputs(
    output,
    found,
    wanted.inputs,
    (one, other) => one.bytes === other.bytes && one.modified === other.modified,
  );
  throw inTheWay(output, `${output} holds an unfinished run of another version of sentvec. --overwrite starts anew.`);
}

function mustBeSameSpace(
  there: Space & { readonly precision: CorpusOptions['precision'] },
  { output, space, options }: WantedRun,
): void {
  const parts = differingParts(there.fingerprintParts, space.fingerprintParts);
  if (there.precision !== options.precision) parts.push('precision');
  if (parts.length > 0 || there.fingerprint !== space.fingerprint)
    throw spaceMismatch(output, there.model, space.model, parts);
}

function mustBeSameOptions(output: string, there: CorpusOptions, here: CorpusOptions): void {
  const names = Object.keys(here) as (keyof CorpusOptions)[];
  const differences = names
    .filter((name) => JSON.stringify(there[name]) !== JSON.stringify(here[name]))
    .map((name) => `${name} was ${JSON.stringify(there[name])} and is ${JSON.stringify(here[name])}`);
  if (differences.length === 0) return;
  throw inTheWay(
    output,
    `${output} was started with other options: ${differences.join('; ')}. Use the same ones, or --overwrite.`,
  );
}

function mustBeSameInputs<T extends { readonly name: string }>(
  output: string,
  there: readonly T[],
  here: readonly FoundInput[],
  same: (there: T, here: FoundInput) => boolean,
): void {
  const names = (inputs: readonly { readonly name: string }[]): string => inputs.map(({ name }) => name).join('\n');
  if (names(there) !== names(here))
    throw inTheWay(output, `${output} was started with other inputs. Use the same ones, or --overwrite.`);
  const changed = here.find((input, index) => !same(there[index]!, input));
  if (!changed) return;
  const message = `${changed.name} has changed since ${output} was started. --overwrite starts anew with the file as it is now.`;
  throw new SentvecError('invalid-output', message, { file: changed.name });
}

function inTheWay(output: string, message: string): SentvecError {
  return new SentvecError('invalid-output', message, { file: output });
}
