/** The output folder: what is in it before a run, and how a run makes it its own. */
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
 * Looks at an output folder.
 *
 * @throws SentvecError `invalid-output` when it holds something that sentvec did not write, `io-failed`
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
    const message = `${output} holds other files (${some}). Name a new or empty folder.`;
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
    await removeTree(earlier); // An earlier attempt may have found finished chunks that this one does not.
    for (const path of [unpacked, chunks, earlier, temporary]) await makeFolder(path);
    await writeFile(owner, JSON.stringify({ host: hostname(), pid: process.pid }));
  });
}

const ownerSchema = v.object({ host: v.string(), pid: v.number() });

/** Removes the preparations of processes of this machine that were killed. */
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
 * Removes the folder in which a run was prepared, and the output folder too when it is empty and the run had made it.
 */
export async function removePreparation(output: string, key: string, madeOutput: boolean): Promise<void> {
  if (isStorageUri(output)) return removeStoredPreparation(output, key);
  await removeTree(preparationRoot(output, key));
  if (madeOutput) await rmdir(output).catch(() => {});
}

/**
 * Makes a prepared run the owner of the output folder, in place of the runs that were there when it was decided to
 * begin. Only one run can have the folder: of several that try at the same moment, one succeeds.
 *
 * @param state what was in the folder when it was decided to begin
 * @param makeManifest that of the run, which is not complete
 * @returns false when another run has begun or was committed since: this run then remains a preparation
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
    // Another run may have been committed just before: then this one was decided on a state that no longer holds.
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
 * Removes the folder of a run that is committed or replaced. A process that still works on it finds the folder missing.
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
  // A process that was killed between these two steps left a folder that no other process removes.
  for (const name of (await readdir(output)).filter(isDiscarded)) await removeTree(join(output, name));
}

/** Several processes may remove the same folder. */
async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 5 });
}

/**
 * Writes that the run with this key is not complete, unless the manifest says so already. A finished output stays
 * readable until the run replaces it.
 *
 * @throws SentvecError `invalid-output` when the run is no longer open, `io-failed`
 */
export async function markUnfinished(output: string, key: string, manifest: Manifest): Promise<void> {
  if (isStorageUri(output)) return; // Claiming the output has written it.
  const content = formatManifest(manifest);
  const there = await readManifest(output);
  if (there !== undefined && (there.complete || formatManifest(there) === content)) return;
  await writeRunFile(runFolder({ output, key }), join(output, manifestFile), content);
}

/**
 * The manifest of an output that is finished, while no run is about to replace it.
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
    const message = `${output} is a file, not a folder. Name a folder for the output.`;
    throw new SentvecError('invalid-output', message, { file: output }, { cause: error });
  }
}
