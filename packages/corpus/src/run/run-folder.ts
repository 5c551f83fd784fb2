/** Where a run stores what it needs until it is committed, and how those files are read and written. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { writeFileAtomically } from '@sentvec/platform/node';
import type * as v from 'valibot';
import { readJsonFile } from '../json-file.ts';

const prefix = '.unfinished-';

/** The paths of a run that is not committed: a folder within the output folder. */
export interface RunFolder {
  readonly root: string;
  /** The run itself: see {@link CorpusRun}. Written when everything before the first chunk is done. */
  readonly run: string;
  /** See {@link RunInputs}. */
  readonly inputs: string;
  readonly calibration: string;
  /** Written when the plan has reached its end. */
  readonly plan: string;
  /** Unpacked copies of inputs. */
  readonly unpacked: string;
  /** A {@link FinishedChunk} for each finished chunk. */
  readonly chunks: string;
  /** Files that are being written. */
  readonly temporary: string;
}

/**
 * The folder of the run with this key. Runs with other keys never touch it, so a worker that wakes up late cannot spoil
 * another run.
 */
export function runFolder(output: string, key: string): RunFolder {
  const root = join(output, prefix + key);
  return {
    root,
    run: join(root, 'run.json'),
    inputs: join(root, 'inputs.json'),
    calibration: join(root, 'calibration.json'),
    plan: join(root, 'plan.json'),
    unpacked: join(root, 'unpacked'),
    chunks: join(root, 'chunks'),
    temporary: join(root, 'temporary'),
  };
}

/** Keys of the runs in an output folder that are not committed. */
export async function unfinishedRuns(output: string): Promise<string[]> {
  const names = await readdir(output).catch(() => []);
  return names.filter(isRunFolder).map((name) => name.slice(prefix.length));
}

/** Whether an entry of an output folder belongs to a run that is not committed. */
export function isRunFolder(name: string): boolean {
  return name.startsWith(prefix);
}

/**
 * A JSON file of a run, or `undefined` when it is not there.
 *
 * @throws SentvecError `invalid-output` when it is damaged or was written by another version, `io-failed`
 */
export async function readRunFile<T>(path: string, schema: v.GenericSchema<unknown, T>): Promise<T | undefined> {
  return readJsonFile(path, schema, 'Start the run anew with `overwrite`.');
}

/**
 * Writes a file of a run: into its folder, or into the output folder.
 *
 * @throws SentvecError `invalid-output` when the run is no longer open, `io-failed`
 */
export async function writeRunFile(
  { output, key }: { readonly output: string; readonly key: string },
  path: string,
  content: Uint8Array | string,
): Promise<void> {
  const { temporary: temporaryFolder } = runFolder(output, key);
  try {
    await writeFileAtomically(path, content, { temporaryFolder, advice: 'Then continue with `resume`.' });
  } catch (error) {
    // The folder of the run is missing when somebody else has committed or replaced it meanwhile.
    const folderIsMissing = SentvecError.is(error, 'io-failed') && error.details['errno'] === 'ENOENT';
    throw folderIsMissing ? runNotOpenError(output) : error;
  }
}

/** The error of a step that comes after its run was committed or replaced. */
export function runNotOpenError(output: string): SentvecError {
  const message = `The run in ${output} is no longer open: it was finished or replaced. Look at manifest.json there.`;
  return new SentvecError('invalid-output', message, { file: output, missing: true });
}
