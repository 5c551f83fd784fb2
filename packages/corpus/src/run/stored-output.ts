/**
 * An output folder in an object store, which has neither folders nor renaming. Its manifest decides: a run begins when
 * it writes itself into it in place of the version that it has seen, and ends the same way. The name of a shard says
 * what is in it, so a late or doubled write changes nothing.
 */
import { SentvecError } from '@sentvec/core';
import { openStorage, type Storage } from '@sentvec/storage';
import { formatManifest, manifestFile, readManifest, type Manifest, type ShardEntry } from '../manifest.ts';
import { runNotOpenError, unfinishedFolder, type OutputState } from './run-folder.ts';

/** Keys of other files that a message names. */
const someKeys = 3;

/** @throws SentvecError `invalid-output` when it holds something that sentvec did not write, `io-failed` */
export async function inspectStored(output: string): Promise<OutputState> {
  const storage = openStorage(output);
  const { manifest, version } = await readVersion(storage, output);
  if (manifest) {
    const unfinished = manifest.complete || manifest.run === undefined ? [] : [manifest.run];
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
 * several that try, one succeeds.
 *
 * @returns false when another run has begun or was committed since
 */
export async function claimStored(output: string, manifest: Manifest, state: OutputState): Promise<boolean> {
  const storage = openStorage(output);
  const replaces = state.manifestId === '' ? null : state.manifestId;
  if (!(await storage.write(manifestFile, formatManifest(manifest), { replaces }))) return false;
  for (const key of state.unfinished) await removeRun(storage, key);
  return true;
}

/** Removes the files of a preparation, unless its run owns the output. */
export async function removeStoredPreparation(output: string, key: string): Promise<void> {
  const manifest = await readManifest(output);
  if (manifest?.run !== key) await removeRun(openStorage(output), key);
}

/** Removes the chunks that an earlier attempt of the same preparation has taken over. */
export async function clearStoredChunks(output: string, key: string): Promise<void> {
  await removeAll(openStorage(output), `${unfinishedFolder}/${key}/chunks/`);
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

/** Requests that are on their way at once. */
const atOnce = 16;

async function removeAll(storage: Storage, prefix: string, keep: ReadonlySet<string> = new Set()): Promise<void> {
  let pending: Promise<void>[] = [];
  for await (const { key } of storage.list(prefix)) {
    if (keep.has(key)) continue;
    pending.push(storage.remove(key));
    if (pending.length < atOnce) continue;
    await Promise.all(pending);
    pending = [];
  }
  await Promise.all(pending);
}

/** A file with its content. */
interface NamedLines {
  readonly key: string;
  readonly lines: AsyncIterable<Uint8Array>;
}

/**
 * Writes the rejected rows, then the complete manifest in place of the one with which the run began, and removes
 * whatever is not in it: shards of earlier runs and of dead attempts, the files of this run and of others that were
 * given up.
 *
 * @throws SentvecError `invalid-output` when the run was replaced by another
 */
export async function commitStored(
  output: string,
  run: string,
  manifest: Manifest,
  rejected: NamedLines,
): Promise<void> {
  const storage = openStorage(output);
  const begun = await readVersion(storage, output);
  const before = (await storage.stat(rejected.key))?.version ?? null;
  if (begun.manifest?.run !== run) throw runNotOpenError(output);
  const runs = await runsIn(storage);
  const written = await storage.write(rejected.key, rejected.lines, { replaces: before });
  const content = formatManifest(manifest);
  if (!written || !(await storage.write(manifestFile, content, { replaces: begun.version }))) {
    // Another process may commit this run, too; it writes the same.
    const there = await readManifest(output);
    if (there === undefined || formatManifest(there) !== content) throw runNotOpenError(output);
  }
  for (const key of runs) if ((await readManifest(output))?.run !== key) await removeRun(storage, key);
  if (!(await readManifest(output))?.complete) return;
  await removeAll(storage, 'shard-', namesOf(manifest));
  await storage.removeUnfinished(rejected.key);
}

function namesOf({ shards }: Pick<Manifest, 'shards'>): Set<string> {
  return new Set(shards.flatMap(({ file, companion }) => (companion ? [file, companion.file] : [file])));
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
  const manifest = await readManifest(run.output);
  // The commit of an open run removes what it does not need.
  if (manifest?.complete) {
    const listed = namesOf(manifest);
    for (const file of namesOf({ shards: [{ ...shard, input: 0 }] })) if (!listed.has(file)) await storage.remove(file);
  }
  throw runNotOpenError(run.output);
}
