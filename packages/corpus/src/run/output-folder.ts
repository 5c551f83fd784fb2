/** The output folder: what is in it before a run, and how a run makes it its own. */
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { guardIo, ioError, isSystemError, makeFolder } from '@sentvec/platform/node';
import { formatManifest, manifestFile, readManifest, rejectedFile, type Manifest } from '../manifest.ts';
import type { CorpusRun } from './corpus-run.ts';
import { isRunFolder, runFolder, unfinishedRuns, writeRunFile } from './run-folder.ts';

/** What is in an output folder before a run begins. */
export interface OutputState {
  /** Whether the folder was there. */
  readonly exists: boolean;
  readonly manifest: Manifest | undefined;
  /** Keys of runs that are not committed. */
  readonly unfinished: readonly string[];
}

/**
 * Looks at an output folder.
 *
 * @throws SentvecError `invalid-output` when it holds something that sentvec did not write, `io-failed`
 */
export async function inspectOutput(output: string): Promise<OutputState> {
  const names = await listFolder(output);
  if (names === undefined) return { exists: false, manifest: undefined, unfinished: [] };
  const manifest = await readManifest(output);
  const foreign = names.filter((name) => !isRunFolder(name));
  if (manifest === undefined && foreign.length > 0) {
    const some = foreign.slice(0, 3).join(', ') + (foreign.length > 3 ? ', …' : '');
    const message = `${output} holds other files (${some}). Name a new or empty folder.`;
    throw new SentvecError('invalid-output', message, { file: output });
  }
  return { exists: true, manifest, unfinished: await unfinishedRuns(output) };
}

/**
 * Makes the folder of a run within the output folder. With `keep`, what an earlier attempt at the same run left there
 * stays.
 *
 * @throws SentvecError `io-failed`
 */
export async function makeRunFolder(output: string, key: string, keep: boolean): Promise<void> {
  const folder = runFolder(output, key);
  await guardIo('Making the output folder', output, async () => {
    if (!keep) await rm(folder.root, { recursive: true, force: true });
    await rm(folder.temporary, { recursive: true, force: true });
    for (const path of [folder.unpacked, folder.chunks, folder.temporary]) await makeFolder(path);
  });
}

/** Removes the folder of a run, and the output folder too when nothing else is in it and the run had made it. */
export async function removeRunFolder(output: string, key: string, madeOutput: boolean): Promise<void> {
  await rm(runFolder(output, key).root, { recursive: true, force: true });
  if (madeOutput) await rmdir(output).catch(() => {});
}

/**
 * Makes the output folder that of a run: its manifest says that the run is not complete, other runs are removed. Shards
 * and rejected rows of an earlier run are removed too, unless `keepShards` is set.
 *
 * @throws SentvecError `io-failed`
 */
export async function claimOutput(run: CorpusRun, manifest: Manifest, keepShards: boolean): Promise<void> {
  const { output, key } = run;
  await writeRunFile(run, join(output, manifestFile), formatManifest(manifest));
  await guardIo('Clearing the output folder', output, async () => {
    for (const other of await unfinishedRuns(output)) if (other !== key) await removeRunFolder(output, other, false);
    const left = keepShards ? [] : (await readdir(output)).filter((name) => /^shard-\d+\./.test(name));
    for (const name of [rejectedFile, ...left]) await rm(join(output, name), { force: true });
  });
}

async function listFolder(output: string): Promise<string[] | undefined> {
  try {
    return await readdir(output);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    if (!isSystemError(error, 'ENOTDIR')) throw ioError(error, 'Reading the output folder', output);
    const message = `${output} is a file, not a folder. Name a folder for the output.`;
    throw new SentvecError('invalid-output', message, { file: output }, { cause: error });
  }
}
