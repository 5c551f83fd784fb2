/** Where a run stores what it needs until it is committed, and how those files are read and written. */
import { readdir } from 'node:fs/promises';
import { SentvecError } from '@sentvec/core';
import { writeFileAtomically } from '@sentvec/platform/node';
import type * as v from 'valibot';
import { isStorageUri } from '@sentvec/storage';
import { readJsonFile } from '../json-file.ts';
import { locationIn, writeStored } from '../location.ts';
import type { Manifest } from '../manifest.ts';

/** The entry of an output folder that holds the run that is not committed, in a folder that has its key as name. */
export const unfinishedFolder = '.unfinished';

/** What is in an output folder before a run begins. */
export interface OutputState {
  /** Whether the folder was there. */
  readonly exists: boolean;
  readonly manifest: Manifest | undefined;
  /** Distinguishes the file of the manifest from another with the same content. */
  readonly manifestId: string;
  /** Keys of runs that are not committed: none, or one. */
  readonly unfinished: readonly string[];
}

/** The paths of a run that is not committed, or is being prepared: a folder within the output folder. */
export interface RunFolder {
  readonly output: string;
  readonly root: string;
  /** The run itself: see {@link CorpusRun}. */
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
  /** A {@link FinishedChunk} for each chunk of an earlier run that may be taken over, by what it was made of. */
  readonly earlier: string;
  /** Which process prepares it. */
  readonly owner: string;
  /** Files that are being written, and files that are being removed. */
  readonly temporary: string;
}

/**
 * The folder of the run with this key. Every preparation makes a key of its own, so a process that wakes up after its
 * run was committed or replaced finds the folder missing, and can neither write nor remove anything.
 */
export function runFolder({ output, key }: { readonly output: string; readonly key: string }): RunFolder {
  return folderAt(output, locationIn(locationIn(output, unfinishedFolder), key));
}

/** Where the files of a run are until it is prepared. Nobody but its preparation touches them. */
export function preparationFolder(output: string, key: string): RunFolder {
  if (isStorageUri(output)) return runFolder({ output, key }); // It becomes that of the run without being moved.
  return folderAt(output, locationIn(preparationRoot(output, key), key));
}

/** The folder that becomes {@link unfinishedFolder} when the preparation is done. */
export function preparationRoot(output: string, key: string): string {
  return locationIn(output, `${preparingPrefix}${key}`);
}

/** Where the folder of a committed or replaced run is moved before it is removed. */
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

/** Keys of the runs in an output folder that are not committed: none, or one. */
export async function unfinishedRuns(output: string): Promise<string[]> {
  return readdir(locationIn(output, unfinishedFolder)).catch(() => []);
}

/** Keys of the runs in an output folder that are being prepared, or whose preparation was killed. */
export async function preparations(output: string): Promise<string[]> {
  const names = await readdir(output);
  return names.filter((name) => name.startsWith(preparingPrefix)).map((name) => name.slice(preparingPrefix.length));
}

/** Whether an entry of an output folder is the discarded folder of a run. */
export function isDiscarded(name: string): boolean {
  return name.startsWith(discardedPrefix);
}

/** Whether an entry of an output folder belongs to a run that is not committed. */
export function isRunEntry(name: string): boolean {
  return name === unfinishedFolder || name.startsWith(preparingPrefix) || isDiscarded(name);
}

/**
 * A JSON file of a run, or `undefined` when it is not there.
 *
 * @throws SentvecError `invalid-output` when it is damaged or was written by another version, `io-failed`
 */
export async function readRunFile<T>(path: string, schema: v.GenericSchema<unknown, T>): Promise<T | undefined> {
  return readJsonFile(path, schema, 'Start the run over with `overwrite`.');
}

/**
 * Writes a file of a run: into its folder, or into the output folder.
 *
 * @throws SentvecError `invalid-output` when the run is no longer open, `io-failed`
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
    // The folder of the run is missing when another process has committed or replaced it meanwhile.
    const folderIsMissing = SentvecError.is(error, 'io-failed') && error.details['errno'] === 'ENOENT';
    throw folderIsMissing ? runNotOpenError(output) : error;
  }
}

/** The error of a step that comes after its run was committed or replaced. */
export function runNotOpenError(output: string): SentvecError {
  const message = `The run in ${output} is no longer open: it was finished or replaced. Look at manifest.json there.`;
  return new SentvecError('invalid-output', message, { file: output, missing: true });
}
