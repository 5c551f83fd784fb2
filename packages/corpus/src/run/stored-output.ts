/**
 * Output folders in object stores, which have neither folders nor rename. The manifest is the lock: a run begins with a
 * conditional write of its key into the manifest, and ends with a conditional write of its own manifest. Until then,
 * the manifest is that of the earlier output. File names contain a content hash, so a delayed or repeated write does no
 * harm.
 */
import { SentvecError } from '@sentvec/core';
import { inOrder } from '@sentvec/platform';
import { openStorage, type Storage } from '@sentvec/storage';
import { callsAtOnce } from '../location.ts';
import {
  filesOf,
  formatManifest,
  listedPrefixes,
  manifestFile,
  readManifest,
  type Manifest,
  type ShardEntry,
} from '../manifest.ts';
import { namesOfListed } from '../manifest-parts.ts';
import { runNotOpenError, unfinishedFolder, type OutputState } from './run-folder.ts';

/** How many keys of other files an error message lists. */
const someKeys = 3;

/**
 * Inspects an output in a store.
 * @throws SentvecError `invalid-output` when it contains files that sentvec did not write; `io-failed`
 */
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
  const message = `${output} contains other files (${some}). Choose a new or empty folder.`;
  throw new SentvecError('invalid-output', message, { file: output });
}

/** Reads the manifest and its version in the store. */
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
 * Claims the output for a prepared run, by a conditional write of the manifest. If several runs try, exactly one
 * succeeds. A finished output stays readable.
 *
 * @param manifest the incomplete manifest of the run
 * @returns false when another run has begun or was committed meanwhile
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

/** Removes records of reusable chunks that a previous attempt of the same preparation has written. */
export async function clearStoredEarlier(output: string, key: string): Promise<void> {
  await removeAll(openStorage(output), `${unfinishedFolder}/${key}/earlier/`);
}

/**
 * Removes the files of a run. The file that marks it as open is removed first, so that processes that still work on the
 * run notice, and remove what they write.
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
 * Writes the complete manifest by a conditional write, and then removes all other files: shards of earlier runs and of
 * dead attempts, and temporary files of this run and of abandoned runs.
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
    // Another process may commit the same run, with the same manifest.
    const there = await readManifest(output);
    if (there === undefined || formatManifest(there) !== content) throw runNotOpenError(output);
  }
  for (const key of runs) if ((await readManifest(output))?.run !== key) await removeRun(storage, key);
  if (!(await isClosed(output))) return;
  const listed = await namesOfListed(output, manifest);
  for (const prefix of listedPrefixes) {
    await removeAll(storage, prefix, listed);
    await storage.removeUnfinished(prefix);
  }
}

/** Whether an output is finished and no run is replacing it. */
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
 * Checks, after the record of a chunk was written, that the run is still open. If it is not, removes the written files.
 *
 * @param record URI of the chunk's record, which belongs only to this run
 * @param shard the files of the shard, which a finished output may share
 * @throws SentvecError `invalid-output` when the run was committed or replaced
 */
export async function checkStoredRun(
  run: { readonly output: string; readonly key: string },
  record: string,
  shard: Omit<ShardEntry, 'input'>,
): Promise<void> {
  const storage = openStorage(run.output);
  if (await storage.stat(`${unfinishedFolder}/${run.key}/run.json`)) return;
  await storage.remove(record.slice(storage.uri.length + 1));
  // If another run is open, its commit will remove these files.
  if (await isClosed(run.output)) {
    const listed = await namesOfListed(run.output, (await readManifest(run.output))!);
    for (const { file } of filesOf(shard)) if (!listed.has(file)) await storage.remove(file);
  }
  throw runNotOpenError(run.output);
}
