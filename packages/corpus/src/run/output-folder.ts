/** Manages the output folder: inspects it before a run, and claims and releases it for runs. */
import { readdir, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { SentvecError } from '@sentvec/core';
import { guardIo, ioError, isSystemError, makeFolder, moveIntoPlace } from '@sentvec/platform/node';
import { isStorageUri } from '@sentvec/storage';
import * as v from 'valibot';
import { formatManifest, manifestFile, readManifest, type Manifest } from '../manifest.ts';
import {
  discardedRoot,
  isDiscarded,
  isRunEntry,
  preparationFolder,
  preparationRoot,
  preparations,
  readRunFile,
  runFolder,
  unfinishedFolder,
  unfinishedRuns,
  writeRunFile,
  type OutputState,
} from './run-folder.ts';
import { claimStored, clearStoredEarlier, inspectStored, removeStoredPreparation } from './stored-output.ts';

/**
 * Inspects an output folder.
 *
 * @throws SentvecError `invalid-output` when it contains files that sentvec did not write; `io-failed`
 */
export async function inspectOutput(output: string): Promise<OutputState> {
  if (isStorageUri(output)) return inspectStored(output);
  const names = await listFolder(output);
  if (names === undefined) return { exists: false, manifest: undefined, manifestId: '', unfinished: [] };
  const manifestId = await identifyManifest(output);
  const manifest = await readManifest(output);
  const foreign = names.filter((name) => !isRunEntry(name));
  if (manifest === undefined && foreign.length > 0) {
    const some = foreign.slice(0, 3).join(', ') + (foreign.length > 3 ? ', …' : '');
    const message = `${output} contains other files (${some}). Choose a new or empty folder.`;
    throw new SentvecError('invalid-output', message, { file: output });
  }
  return { exists: true, manifest, manifestId, unfinished: await unfinishedRuns(output) };
}

async function identifyManifest(output: string): Promise<string> {
  const stats = await stat(join(output, manifestFile), { bigint: true }).catch(() => undefined);
  return stats === undefined ? '' : `${stats.ino} ${stats.mtimeNs}`;
}

/** Makes the folder in which a run is prepared. @throws SentvecError `io-failed` */
export async function makePreparationFolder(output: string, key: string): Promise<void> {
  if (isStorageUri(output)) return clearStoredEarlier(output, key);
  const { unpacked, chunks, earlier, temporary, owner } = preparationFolder(output, key);
  await guardIo('Making the output folder', output, async () => {
    await removeTree(earlier); // An earlier attempt may have left records of chunks that this attempt does not find.
    for (const path of [unpacked, chunks, earlier, temporary]) await makeFolder(path);
    await writeFile(owner, JSON.stringify({ host: hostname(), pid: process.pid }));
  });
}

const ownerSchema = v.object({ host: v.string(), pid: v.number() });

/** Removes preparations of killed processes of this machine. */
async function removeAbandoned(output: string): Promise<void> {
  for (const key of await preparations(output)) {
    const owner = await readRunFile(preparationFolder(output, key).owner, ownerSchema).catch(() => undefined);
    if (owner?.host === hostname() && !isAlive(owner.pid)) await removeTree(preparationRoot(output, key));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isSystemError(error, 'ESRCH');
  }
}

/**
 * Removes the folder in which a run was prepared. Also removes the output folder if it is empty and this run created
 * it.
 */
export async function removePreparation(output: string, key: string, madeOutput: boolean): Promise<void> {
  if (isStorageUri(output)) return removeStoredPreparation(output, key);
  await removeTree(preparationRoot(output, key));
  if (madeOutput) await rmdir(output).catch(() => {});
}

/**
 * Claims the output folder for a prepared run, in place of the runs in `state`. If several runs try at the same time,
 * exactly one succeeds.
 *
 * @param state the contents of the folder on which the decision to begin was based
 * @param makeManifest makes the incomplete manifest of the run
 * @returns false when another run has begun or was committed meanwhile; this run is not changed then
 * @throws SentvecError `io-failed`
 */
export async function claimOutput(
  output: string,
  key: string,
  state: OutputState,
  makeManifest: () => Promise<Manifest>,
): Promise<boolean> {
  if (isStorageUri(output)) return claimStored(output, key, await makeManifest(), state);
  return guardIo('Claiming the output folder', output, async () => {
    for (const replaced of state.unfinished) await discardRun(output, replaced);
    const unfinished = join(output, unfinishedFolder);
    await rmdir(unfinished).catch(() => {});
    try {
      await moveIntoPlace(preparationRoot(output, key), unfinished);
    } catch (error) {
      if ((await unfinishedRuns(output)).length > 0) return false;
      throw error;
    }
    // If another run was committed meanwhile, the decision to begin was based on an outdated state.
    const claimed = (await identifyManifest(output)) === state.manifestId;
    if (claimed) await removeAbandoned(output);
    else await releaseClaim(output, key);
    return claimed;
  });
}

/** Turns a claimed run back into a preparation. */
async function releaseClaim(output: string, key: string): Promise<void> {
  await makeFolder(preparationRoot(output, key));
  await moveIntoPlace(runFolder({ output, key }).root, preparationFolder(output, key).root);
  await rmdir(join(output, unfinishedFolder)).catch(() => {});
}

/**
 * Removes the folder of a committed or replaced run. Processes that still work on the run notice that the folder is
 * missing.
 *
 * @throws a system error
 */
export async function discardRun(output: string, key: string): Promise<void> {
  const discarded = discardedRoot(output, key);
  try {
    await moveIntoPlace(runFolder({ output, key }).root, discarded);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error; // Another process has removed it.
  }
  await rmdir(join(output, unfinishedFolder)).catch(() => {}); // Another run may have begun.
  // Also remove folders that were left by a process that was killed between these two steps.
  for (const name of (await readdir(output)).filter(isDiscarded)) await removeTree(join(output, name));
}

/** Removes a folder that other processes may be removing at the same time. */
async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 5 });
}

/**
 * Writes the incomplete manifest of a run, unless the folder has a finished output, which stays readable until the run
 * replaces it.
 *
 * @throws SentvecError `invalid-output` when the run is no longer open, `io-failed`
 */
export async function markUnfinished(output: string, key: string, manifest: Manifest): Promise<void> {
  if (isStorageUri(output)) return; // claimOutput() has written it.
  const content = formatManifest(manifest);
  const there = await readManifest(output);
  if (there !== undefined && (there.complete || formatManifest(there) === content)) return;
  await writeRunFile(runFolder({ output, key }), join(output, manifestFile), content);
}

/**
 * Reads the manifest of a finished output. `undefined` if a run is replacing the output.
 *
 * @throws SentvecError `invalid-output` for a damaged manifest, `io-failed`
 */
export async function readCommitted(output: string): Promise<Manifest | undefined> {
  const manifest = await readManifest(output);
  if (!manifest?.complete || manifest.run !== undefined) return undefined;
  return isStorageUri(output) || (await unfinishedRuns(output)).length === 0 ? manifest : undefined;
}

async function listFolder(output: string): Promise<string[] | undefined> {
  try {
    return await readdir(output);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    if (!isSystemError(error, 'ENOTDIR')) throw ioError(error, 'Reading the output folder', output);
    const message = `${output} is a file. Choose a folder for the output.`;
    throw new SentvecError('invalid-output', message, { file: output }, { cause: error });
  }
}
