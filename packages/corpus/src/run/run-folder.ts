/** The folder with the temporary files of an unfinished run: its paths, and reading and writing its files. */
import { readdir } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { writeFileAtomically } from '@sentvec/platform/node';
import type * as v from 'valibot';
import { isStorageUri } from '@sentvec/storage';
import { readJsonFile } from '../json-file.ts';
import { locationIn, writeStored } from '../location.ts';
import type { Manifest } from '../manifest.ts';

/** The entry of an output folder that contains the folder of the unfinished run, which is named by its key. */
export const unfinishedFolder = '.unfinished';

/** The contents of an output folder before a run begins. */
export interface OutputState {
  /** Whether the folder exists. */
  readonly exists: boolean;
  readonly manifest: Manifest | undefined;
  /** Identifies the manifest file, not only its content: it changes if the same manifest is written again. */
  readonly manifestId: string;
  /** Keys of unfinished runs: none or one. */
  readonly unfinished: readonly string[];
}

/** The paths of an unfinished run or a preparation, within the output folder. */
export interface RunFolder {
  readonly output: string;
  readonly root: string;
  /** The run itself: see {@link CorpusRun}. */
  readonly run: string;
  /** See {@link RunInputs}. */
  readonly inputs: string;
  readonly calibration: string;
  /** The {@link CorpusSize}, which is written when the plan is complete. */
  readonly plan: string;
  /** Unpacked copies of inputs. */
  readonly unpacked: string;
  /** A {@link FinishedChunk} for each finished chunk. */
  readonly chunks: string;
  /** A {@link FinishedChunk} for each reusable chunk of an earlier run, named by its content hash. */
  readonly earlier: string;
  /** Identifies the process that prepares the run. */
  readonly owner: string;
  /** Temporary files: being written or being removed. */
  readonly temporary: string;
}

/**
 * The folder of the run with this key. Every run has its own key, so a suspended process that continues after its run
 * was committed or replaced does not find the folder, and cannot write or remove files of another run.
 */
export function runFolder({ output, key }: { readonly output: string; readonly key: string }): RunFolder {
  return folderAt(output, locationIn(locationIn(output, unfinishedFolder), key));
}

/** The folder of a run during its preparation. Only the preparing process uses it. */
export function preparationFolder(output: string, key: string): RunFolder {
  if (isStorageUri(output)) return runFolder({ output, key }); // Stores have no rename: the preparation and the run have the same folder.
  return folderAt(output, locationIn(preparationRoot(output, key), key));
}

/** The folder that is renamed to {@link unfinishedFolder} at the end of the preparation. */
export function preparationRoot(output: string, key: string): string {
  return locationIn(output, `${preparingPrefix}${key}`);
}

/** The path to which the folder of a committed or replaced run is renamed before its removal. */
export function discardedRoot(output: string, key: string): string {
  return locationIn(output, `${discardedPrefix}${key}`);
}

const preparingPrefix = '.preparing-';
const discardedPrefix = '.discarded-';

function folderAt(output: string, root: string): RunFolder {
  return {
    output,
    root,
    run: locationIn(root, 'run.json'),
    inputs: locationIn(root, 'inputs.json'),
    calibration: locationIn(root, 'calibration.json'),
    plan: locationIn(root, 'plan.json'),
    unpacked: locationIn(root, 'unpacked'),
    chunks: locationIn(root, 'chunks'),
    earlier: locationIn(root, 'earlier'),
    owner: locationIn(root, 'owner.json'),
    temporary: locationIn(root, 'temporary'),
  };
}

/** Keys of unfinished runs in an output folder: none or one. */
export async function unfinishedRuns(output: string): Promise<string[]> {
  return readdir(locationIn(output, unfinishedFolder)).catch(() => []);
}

/** Keys of preparations in an output folder, including those of killed processes. */
export async function preparations(output: string): Promise<string[]> {
  const names = await readdir(output);
  return names.filter((name) => name.startsWith(preparingPrefix)).map((name) => name.slice(preparingPrefix.length));
}

/** Whether an entry of an output folder is the discarded folder of a run. */
export function isDiscarded(name: string): boolean {
  return name.startsWith(discardedPrefix);
}

/** Whether an entry of an output folder belongs to an unfinished run. */
export function isRunEntry(name: string): boolean {
  return name === unfinishedFolder || name.startsWith(preparingPrefix) || isDiscarded(name);
}

/**
 * Reads a JSON file of a run. `undefined` if it does not exist.
 *
 * @throws SentvecError `invalid-output` when it is damaged or was written by another version; `io-failed`
 */
export async function readRunFile<T>(path: string, schema: v.GenericSchema<unknown, T>): Promise<T | undefined> {
  return readJsonFile(path, schema, 'Start over with `overwrite`.');
}

/**
 * Writes a file of a run, into its folder or into the output folder.
 *
 * @throws SentvecError `invalid-output` when the run was committed or replaced; `io-failed`
 */
export async function writeRunFile(
  { output, temporary: temporaryFolder }: RunFolder,
  path: string,
  content: Uint8Array | string,
): Promise<void> {
  if (isStorageUri(path)) return writeStored(path, content);
  try {
    await writeFileAtomically(path, content, { temporaryFolder, advice: 'Then continue with `resume`.' });
  } catch (error) {
    // A missing folder means that another process has committed or replaced the run.
    const folderIsMissing = SentvecError.is(error, 'io-failed') && error.details['errno'] === 'ENOENT';
    throw folderIsMissing ? runNotOpenError(output) : error;
  }
}

/** The error for a step of a run that was committed or replaced. */
export function runNotOpenError(output: string): SentvecError {
  const message = `The run in ${output} is no longer open, because it was finished or replaced. See manifest.json there.`;
  return new SentvecError('invalid-output', message, { file: output, missing: true });
}
