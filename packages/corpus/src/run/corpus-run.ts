import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { SentvecError, type Fingerprint, type SimilarityFunction } from '@sentvec/core';
import { ioFailed, isSystemError } from '../files/io-error.ts';
import type { CorpusOptions } from '../request.ts';
import type { IdType } from '../rows/row.ts';
import type { FoundInput, Source } from '../sources/source.ts';
import { runFolder } from './run-folder.ts';

/** The embedding space of a run and the model that it comes from. JSON. */
export interface Space {
  readonly model: string;
  readonly revision: string | null;
  readonly fingerprint: string;
  readonly fingerprintParts: Fingerprint['parts'];
  /** Entries of a vector, whatever its precision. */
  readonly dimension: number;
  readonly similarityFunction: SimilarityFunction;
}

/** A run that is ready to be planned and embedded, by any process that sees the output folder. Small JSON. */
export interface CorpusRun {
  /**
   * Identifies the run: a hash of inputs, space and options. The same request has the same key while its inputs stay as
   * they are.
   */
  readonly key: string;
  /** Absolute path of the output folder. */
  readonly output: string;
  readonly space: Space;
  readonly options: CorpusOptions;
  readonly idType: IdType;
  readonly strict: boolean;
  /** Size of all inputs, unpacked, in bytes. */
  readonly totalBytes: number;
}

/** A run's inputs: as they were found, and as they are read. */
export interface RunSources {
  readonly found: readonly FoundInput[];
  readonly sources: readonly Source[];
}

/** See {@link CorpusRun.key}. */
export function runKey(space: Space, options: CorpusOptions, inputs: readonly FoundInput[]): string {
  const identity = { space: space.fingerprint, options, inputs };
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 16);
}

/**
 * The unfinished run with this key in an output folder, as {@link prepareCorpus} left it: for a process that was told
 * only these two.
 *
 * @throws SentvecError `invalid-output` when there is no such run, because it was committed or replaced, `io-failed`
 */
export async function openRun(output: string, key: string): Promise<CorpusRun> {
  const run = await readJson<Omit<CorpusRun, 'output'>>(runFolder(output, key).run);
  if (run === undefined) throw notOpen(output);
  return { ...run, output };
}

/** @throws SentvecError `invalid-output` when the run is no longer open, `io-failed` */
export async function readRunSources(run: CorpusRun): Promise<RunSources> {
  const sources = await readJson<RunSources>(runFolder(run.output, run.key).sources);
  if (sources === undefined) throw notOpen(run.output);
  return sources;
}

/** A JSON file of ours, or `undefined` when there is none. @throws SentvecError `io-failed` */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw ioFailed(error, 'Reading', path);
  }
}

/** The error of a step that comes after its run was committed or replaced. */
export function notOpen(output: string): SentvecError {
  const message = `The run in ${output} is no longer open: it was finished or replaced. Look at manifest.json there.`;
  return new SentvecError('invalid-output', message, { file: output });
}
