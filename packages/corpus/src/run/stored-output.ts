/**
 * An output folder in an object store, which has neither folders nor renaming. Its manifest decides: a run begins when
 * it writes its key into it in place of the version that it has seen, and ends when it writes its own manifest the same
 * way. Until then the manifest is that of the earlier output. The name of a file says what is in it, so a late or
 * doubled write changes nothing.
 */
import { SentvecError } from '@sentvec/core';
import { inOrder } from '@sentvec/platform';
import { openStorage, type Storage } from '@sentvec/storage';
import { callsAtOnce } from '../location.ts';
import {
  filesOf,
  formatManifest,
  listedFiles,
  manifestFile,
  readManifest,
  type Manifest,
  type ShardEntry,
} from '../manifest.ts';
import { runNotOpenError, unfinishedFolder, type OutputState } from './run-folder.ts';

/** Keys of other files that a message names. */
const someKeys = 3;

/** @throws SentvecError `invalid-output` when it holds something that sentvec did not write, `io-failed` */
export async function inspectStored(output: string): Promise<OutputState> {
  const storage = openStorage(output);
  const { manifest, version } = await readVersion(storage, output);
  if (manifest) {
    const unfinished = manifest.run === undefined ? [] : [manifest.run];
    return { exists: true, manifest, manifestId: version, unfinished };
  }
  const foreign: string[] = [];
  for await (const { key } of storage.list('')) {
    if (!key.startsWith(`${unfinishedFolder}/`)) foreign.push(key);
    if (foreign.length > someKeys) break;
  }
  if (foreign.length === 0) return { exists: false, manifest, manifestId: '', unfinished: [] };
  const some = foreign.slice(0, someKeys).join(', ') + (foreign.length > someKeys ? ', …' : '');
  const message = `${output} holds other files (${some}). Name a new or empty folder.`;
  throw new SentvecError('invalid-output', message, { file: output });
}

/** The manifest, and its version in the store. */
async function readVersion(
  storage: Storage,
  output: string,
): Promise<{ readonly manifest: Manifest | undefined; readonly version: string }> {
  for (;;) {
    const before = await storage.stat(manifestFile);
    const manifest = await readManifest(output);
    const after = await storage.stat(manifestFile);
    if (before?.version === after?.version) return { manifest, version: before?.version ?? '' };
  }
}

/**
 * Writes a prepared run into the manifest, in place of the version that was there when it was decided to begin. Of
 * several that try, one succeeds. A finished output stays readable.
 *
 * @param manifest that of the run, which is not complete
 * @returns false when another run has begun or was committed since
 */
export async function claimStored(
  output: string,
  key: string,
  manifest: Manifest,
  state: OutputState,
): Promise<boolean> {
  const storage = openStorage(output);
  const replaces = state.manifestId === '' ? null : state.manifestId;
  const claim = formatManifest(state.manifest?.complete ? { ...state.manifest, run: key } : manifest);
  if (!(await storage.write(manifestFile, claim, { replaces }))) return false;
  for (const replaced of state.unfinished) await removeRun(storage, replaced);
  return true;
}

/** Removes the files of a preparation, unless its run owns the output. */
export async function removeStoredPreparation(output: string, key: string): Promise<void> {
  const manifest = await readManifest(output);
  if (manifest?.run !== key) await removeRun(openStorage(output), key);
}

/** Removes the earlier chunks that a previous attempt of the same preparation has found. */
export async function clearStoredEarlier(output: string, key: string): Promise<void> {
  await removeAll(openStorage(output), `${unfinishedFolder}/${key}/earlier/`);
}

/**
 * The file that marks a run as open is removed first: a process that writes for the run later checks it, and cleans up.
 */
async function removeRun(storage: Storage, key: string): Promise<void> {
  const prefix = `${unfinishedFolder}/${key}/`;
  await storage.remove(`${prefix}run.json`);
  await removeAll(storage, prefix);
  await storage.removeUnfinished(prefix);
}

async function removeAll(storage: Storage, prefix: string, keep: ReadonlySet<string> = new Set()): Promise<void> {
  const removing = inOrder(storage.list(prefix), callsAtOnce, async ({ key }) => {
    if (!keep.has(key)) await storage.remove(key);
  });
  while (!(await removing.next()).done) continue;
}

/**
 * Writes the complete manifest in place of the one with which the run began, and removes whatever is not in it: shards
 * of earlier runs and of dead attempts, the files of this run and of others that were given up.
 *
 * @throws SentvecError `invalid-output` when the run was replaced by another
 */
export async function commitStored(output: string, run: string, manifest: Manifest): Promise<void> {
  const storage = openStorage(output);
  const begun = await readVersion(storage, output);
  if (begun.manifest?.run !== run) throw runNotOpenError(output);
  const runs = await runsIn(storage);
  const content = formatManifest(manifest);
  if (!(await storage.write(manifestFile, content, { replaces: begun.version }))) {
    // Another process may commit this run, too; it writes the same.
    const there = await readManifest(output);
    if (there === undefined || formatManifest(there) !== content) throw runNotOpenError(output);
  }
  for (const key of runs) if ((await readManifest(output))?.run !== key) await removeRun(storage, key);
  if (!(await isClosed(output))) return;
  for (const prefix of ['shard-', 'rejected.']) {
    await removeAll(storage, prefix, new Set(listedFiles(manifest)));
    await storage.removeUnfinished(prefix);
  }
}

/** Whether an output is finished, and no run is about to replace it. */
async function isClosed(output: string): Promise<boolean> {
  const manifest = await readManifest(output);
  return manifest?.complete === true && manifest.run === undefined;
}

async function runsIn(storage: Storage): Promise<Set<string>> {
  const runs = new Set<string>();
  for await (const { key } of storage.list(`${unfinishedFolder}/`)) runs.add(key.split('/')[1]!);
  return runs;
}

/**
 * Makes sure that a run is still open after a finished chunk was written for it; else removes what was written.
 *
 * @param record address of what is stored about the chunk, which belongs to the run alone
 * @param shard its files, which a finished output may have, too
 * @throws SentvecError `invalid-output` when the run is no longer open
 */
export async function checkStoredRun(
  run: { readonly output: string; readonly key: string },
  record: string,
  shard: Omit<ShardEntry, 'input'>,
): Promise<void> {
  const storage = openStorage(run.output);
  if (await storage.stat(`${unfinishedFolder}/${run.key}/run.json`)) return;
  await storage.remove(record.slice(storage.uri.length + 1));
  // The commit of an open run removes what it does not need.
  if (await isClosed(run.output)) {
    const listed = new Set(listedFiles((await readManifest(run.output))!));
    for (const { file } of filesOf(shard)) if (!listed.has(file)) await storage.remove(file);
  }
  throw runNotOpenError(run.output);
}
