// Adds, replaces and removes single rows of a finished folder of vectors. New rows are embedded into new shards; then
// the manifest is replaced atomically by one that lists them and marks removed rows of existing shards. Existing shards
// are never changed, so readers with the previous manifest are not affected.
import { copyFile, link, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { SentvecError, throwIfAborted } from '@sentvec/core';
import { canonicalJson, checkOptionNames, sha256 } from '@sentvec/platform';
import { guardIo, withFileLock, writeFileAtomically } from '@sentvec/platform/node';
import { isStorageUri } from '@sentvec/storage';
import { embedCorpus } from './embed-corpus.ts';
import {
  filesOf,
  formatManifest,
  isSameOutput,
  manifestFile,
  numberOfShard,
  renumberShard,
  type Manifest,
  type RemovedRows,
  type ShardEntry,
  type ShardFile,
} from './manifest.ts';
import { shardsOf, summarizeShards } from './manifest-parts.ts';
import { readStoredShard, type StoredShard } from './open-embeddings.ts';
import type { CorpusProgressEvent } from './progress.ts';
import type { CorpusRequest } from './request.ts';
import type { RowId } from './rows/row.ts';
import { unfinishedRuns } from './run/run-folder.ts';
import { checkFolderSpace, type CorpusEmbedder } from './run/space.ts';
import { readFinishedManifest } from './verify-embeddings.ts';

/** Options of {@link updateIndex}: at least one of `inputs`, `rows` and `remove`. */
export interface UpdateIndexOptions {
  /** The model that made the vectors. Required for new rows. */
  readonly embedder?: CorpusEmbedder | undefined;
  /**
   * Files with new rows, in any form that `embedCorpus` accepts, with the same fields. A new row replaces rows with the
   * same id.
   */
  readonly inputs?: readonly string[] | undefined;
  /** @default 'auto' */
  readonly inputFormat?: CorpusRequest['inputFormat'];
  /** New rows in memory, instead of `inputs`: objects with the fields of the corpus. */
  readonly rows?: Iterable<Readonly<Record<string, unknown>>> | AsyncIterable<Readonly<Record<string, unknown>>>;
  /** Ids of rows to remove. Ids that no row has are counted as `unknown`. */
  readonly remove?: Iterable<RowId> | undefined;
  /**
   * Discards an interrupted update and starts over. Otherwise an interrupted update is continued if the files are the
   * same, and is an error if they differ.
   * @default false
   */
  readonly overwrite?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: CorpusProgressEvent) => void) | undefined;
}

/** The result of {@link updateIndex}. Counts are numbers of rows. */
export interface IndexUpdate {
  /** The new manifest. */
  readonly manifest: Manifest;
  readonly added: number;
  /** Rows that were replaced by a new row with the same id. */
  readonly replaced: number;
  readonly removed: number;
  /** Ids in `remove` that no row has. */
  readonly unknown: number;
}

/** Prefix of the subfolders in which new rows are embedded. */
const updatePrefix = '.update-';

/**
 * Adds, replaces and removes rows of a folder that `embedCorpus` made, with dense or sparse vectors. The update is
 * atomic: a reader sees all rows before the update or all rows after it. New rows are embedded with the same options
 * and must be embedded with the same model. An interrupted update does not change the folder; repeating it continues
 * where it stopped. If several new rows have the same id, the last one counts. Removed rows stay in the shard files
 * until the corpus is embedded again; programs that ignore the manifest still see them. Updates of one folder are
 * executed one after another.
 *
 * @throws SentvecError `space-mismatch` for another model; `invalid-corpus` for a row that cannot be embedded (nothing
 * changes then); `invalid-output` for a folder that is not finished or was embedded again meanwhile, for an unfinished
 * update of other rows, or for new rows in a folder whose ids are row numbers; `invalid-argument`; `io-failed`;
 * `aborted`
 */
export async function updateIndex(directory: string, options: UpdateIndexOptions): Promise<IndexUpdate> {
  const names = { embedder: true, inputs: true, inputFormat: true, rows: true, remove: true, overwrite: true } as const;
  checkOptionNames('updateIndex()', options, { ...names, signal: true, onProgress: true });
  const { embedder, inputs, rows, remove, signal } = options;
  if (isStorageUri(directory)) throw storedFolderError(directory);
  await readOpenManifest(directory);
  if (inputs !== undefined && rows !== undefined)
    throw new SentvecError('invalid-argument', 'Give new rows as `inputs` or as `rows`, not both.');
  const hasRows = inputs !== undefined || rows !== undefined;
  if (!hasRows && remove === undefined)
    throw new SentvecError('invalid-argument', 'There is nothing to do: give `inputs`, `rows` or ids to `remove`.');
  if (hasRows && embedder === undefined)
    throw new SentvecError('invalid-argument', 'New rows need the `embedder` that made the others.');
  return withFileLock(
    join(directory, '.update.lock'),
    async () => {
      const before = await readOpenManifest(directory);
      if (!hasRows) return commit(directory, before, undefined, remove, signal);
      if (before.options.idField === null) throw rowNumbersError(directory);
      await checkFolderSpace(directory, before, embedder!);
      const output = join(directory, updatePrefix + (await baseOf(before)));
      const manifest = await embedRows(output, before, embedder!, options);
      const result = await commit(directory, before, { output, manifest }, remove, signal);
      await guardIo('Removing the files of the update', directory, () => removeUpdates(directory));
      return result;
    },
    signal,
  );
}

/**
 * Identifies how the rows of a folder are embedded, quantized and written. An interrupted update is continued only if
 * this has not changed.
 */
async function baseOf(manifest: Manifest): Promise<string> {
  const { fingerprint, options, precision, format, idType, calibration } = manifest;
  return (await sha256(canonicalJson({ fingerprint, options, precision, format, idType, calibration }))).slice(0, 16);
}

/** Removes the temporary folders of earlier updates, including interrupted ones. */
async function removeUpdates(directory: string): Promise<void> {
  for (const name of await readdir(directory))
    if (name.startsWith(updatePrefix)) await rm(join(directory, name), { recursive: true, force: true });
}

function storedFolderError(directory: string): SentvecError {
  const message =
    `${directory} is in a store. Single rows can be changed only in local folders. ` +
    'Change a local copy, or embed the corpus again with `overwrite`.';
  return new SentvecError('invalid-argument', message, { file: directory });
}

function rowNumbersError(directory: string): SentvecError {
  const message =
    `The ids of ${directory} are row numbers, so new rows cannot be added. ` +
    'Embed the corpus again with an id field (`idField`).';
  return new SentvecError('invalid-output', message, { file: directory });
}

/** Embeds new rows into a temporary folder, with the options of the folder that they will be added to. */
async function embedRows(
  output: string,
  { options: corpus, precision, format, idType, calibration }: Manifest,
  embedder: CorpusEmbedder,
  { inputs, inputFormat, rows, overwrite = false, signal, onProgress }: UpdateIndexOptions,
): Promise<Manifest> {
  const { idField, prompt, truncateDim, inputFormat: _, ...others } = corpus;
  const request: CorpusRequest = {
    ...others,
    inputs: inputs ?? ['-'],
    inputFormat: rows === undefined ? inputFormat : 'jsonl',
    output,
    idField: idField!,
    ...(prompt !== 'default' && { prompt: prompt === 'none' ? null : prompt.name }),
    ...(truncateDim !== null && { truncateDim }),
    precision,
    format,
    strict: true,
    // Rows in memory have no file to compare with an earlier call, so embed them from scratch.
    ...(overwrite || rows !== undefined ? { overwrite: true } : { resume: true }),
  };
  const standardInput = rows && Readable.from(jsonLines(rows));
  try {
    return await embedCorpus(request, embedder, { signal, onProgress, standardInput, joins: { idType, calibration } });
  } catch (error) {
    if (!SentvecError.is(error, 'invalid-output')) throw error;
    const remedy = 'Repeat the interrupted update, or discard it with `overwrite`.';
    throw new SentvecError(error.code, `${error.message} ${remedy}`, error.details, { cause: error });
  }
}

async function* jsonLines(rows: NonNullable<UpdateIndexOptions['rows']>): AsyncGenerator<string, void> {
  for await (const row of rows) yield `${JSON.stringify(row)}\n`;
}

/** Embedded new rows in their temporary folder. */
interface Update {
  readonly output: string;
  readonly manifest: Manifest;
}

/** Replaces the manifest. */
async function commit(
  directory: string,
  manifest: Manifest,
  update: Update | undefined,
  remove: Iterable<RowId> = [],
  signal: AbortSignal | undefined,
): Promise<IndexUpdate> {
  const asked = new Set([...remove].map(String));
  const fresh = update && (await readNewRows(update, signal));
  const gone = new Set([...asked, ...(fresh?.ids ?? [])]);
  const { shards, rowsOfId } = await markRemoved(directory, manifest, gone, signal);
  const others = [...rowsOfId].filter(([id]) => fresh?.ids.has(id) !== true);
  const replaced = rowsOfId.size - others.length;
  const added = joinShards(manifest, shards, fresh?.shards ?? []);
  const next = await joinManifests(directory, manifest, update?.manifest, [...shards, ...added]);
  if (fresh) await linkShards(update.output, fresh.shards, directory, added);
  throwIfAborted(signal);
  // embedCorpus() does not take the lock of updates, so the folder may have changed.
  if (!isSameOutput(manifest, await readOpenManifest(directory))) throw replacedError(directory);
  await writeFileAtomically(join(directory, manifestFile), formatManifest(next));
  // A run that has begun meanwhile may have missed this update. A run that begins later sees it.
  await readOpenManifest(directory);
  return {
    manifest: next,
    added: (fresh?.ids.size ?? 0) - replaced,
    replaced,
    removed: others.reduce((sum, [, rows]) => sum + rows, 0),
    unknown: [...asked].filter((id) => !rowsOfId.has(id)).length,
  };
}

/**
 * Reads the manifest of a finished folder, and throws if a run is replacing it.
 *
 * @throws SentvecError `invalid-output`, `io-failed`
 */
async function readOpenManifest(directory: string): Promise<Manifest> {
  const manifest = await readFinishedManifest(directory);
  if ((await unfinishedRuns(directory)).length === 0) return manifest;
  const message =
    `The corpus in ${directory} is being embedded again, which would discard the update. ` +
    'Update it when that run has finished; if it was interrupted, continue it with `resume`.';
  throw new SentvecError('invalid-output', message, { file: directory, unfinished: true });
}

function replacedError(directory: string): SentvecError {
  const message = `${directory} was changed while the new rows were being embedded. Repeat the update.`;
  return new SentvecError('invalid-output', message, { file: directory });
}

/** The shards of an update. For each id, only the last row counts; the others are marked as removed. */
async function readNewRows(
  { output, manifest: update }: Update,
  signal: AbortSignal | undefined,
): Promise<{ readonly ids: ReadonlySet<string>; readonly shards: readonly ShardEntry[] }> {
  const last = new Map<string, { shard: number; vectors: readonly number[] }>();
  const entries: ShardEntry[] = [];
  const removed: { rows: number; vectors: number[] }[] = [];
  for await (const entry of shardsOf(output, update)) {
    throwIfAborted(signal);
    const index = entries.push(entry) - 1;
    removed.push({ rows: 0, vectors: [] });
    const shard = await readStoredShard(output, update, entry);
    for (const { id, vectors } of rowsOf(shard)) {
      const earlier = last.get(id);
      if (earlier !== undefined) {
        removed[earlier.shard]!.rows += 1;
        removed[earlier.shard]!.vectors.push(...earlier.vectors);
      }
      last.set(id, { shard: index, vectors });
    }
  }
  const shards = entries.map((entry, index) => withRemoved(entry, removed[index]!));
  return { ids: new Set(last.keys()), shards };
}

/** The rows of a shard, with the indices of their vectors. */
function* rowsOf({ ids, pieces }: StoredShard): Generator<{ readonly id: string; readonly vectors: number[] }, void> {
  let from = 0;
  for (let end = 1; end <= ids.length; end += 1) {
    if (end < ids.length && pieces !== undefined && pieces[end]!.piece !== 0) continue;
    yield { id: String(ids[from]!), vectors: Array.from({ length: end - from }, (_, index) => from + index) };
    from = end;
  }
}

/** Marks the rows with some ids as removed, in all shards of a manifest. Reads every shard. */
async function markRemoved(
  directory: string,
  manifest: Manifest,
  ids: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<{ readonly shards: readonly ShardEntry[]; readonly rowsOfId: ReadonlyMap<string, number> }> {
  const rowsOfId = new Map<string, number>();
  const shards: ShardEntry[] = [];
  for await (const entry of shardsOf(directory, manifest)) {
    throwIfAborted(signal);
    const before = new Set(entry.removed?.vectors);
    const vectors: number[] = [];
    let rows = 0;
    if (ids.size > 0)
      for (const row of rowsOf(await readStoredShard(directory, manifest, entry))) {
        if (!ids.has(row.id) || before.has(row.vectors[0]!)) continue;
        rowsOfId.set(row.id, (rowsOfId.get(row.id) ?? 0) + 1);
        rows += 1;
        vectors.push(...row.vectors);
      }
    shards.push(withRemoved(entry, { rows, vectors }));
  }
  return { shards, rowsOfId };
}

function withRemoved(entry: ShardEntry, { rows, vectors }: RemovedRows): ShardEntry {
  if (rows === 0) return entry;
  const before = entry.removed ?? { rows: 0, vectors: [] };
  const all = [...before.vectors, ...vectors].sort((a, b) => a - b);
  return { ...entry, removed: { rows: before.rows + rows, vectors: all } };
}

/** The shards of an update as those of a folder, under new names. */
function joinShards(
  { inputs }: Manifest,
  own: readonly ShardEntry[],
  added: readonly ShardEntry[],
): readonly ShardEntry[] {
  const firstName = own.reduce((last, { file }) => Math.max(last, numberOfShard(file)), -1) + 1;
  const firstRow = own.reduce((sum, shard) => sum + shard.rows + shard.rejected, 0);
  const renamed = <File extends ShardFile>(file: File, index: number): File => ({
    ...file,
    file: renumberShard(file.file, firstName + index),
  });
  return added.map((shard, index) => ({
    ...renamed(shard, index),
    ...(shard.companion && { companion: renamed(shard.companion, index) }),
    input: inputs.length + shard.input,
    firstRow: firstRow + shard.firstRow,
  }));
}

/** The manifest of all shards. Writes its parts, where it has any. */
async function joinManifests(
  directory: string,
  manifest: Manifest,
  update: Manifest | undefined,
  shards: readonly ShardEntry[],
): Promise<Manifest> {
  const { parts: _, ...before } = manifest;
  const { pieces, ...summary } = await summarizeShards(shards, (name, content) =>
    writeFileAtomically(join(directory, name), content),
  );
  return {
    ...before,
    ...summary,
    ...(manifest.pieces !== undefined && { pieces }),
    inputs: [...manifest.inputs, ...(update?.inputs ?? [])],
    // All shards have the calibration of the folder. A folder without vectors has none, so it gets that of the update.
    ...(manifest.calibration === undefined && update?.calibration && { calibration: update.calibration }),
  };
}

/** Links the files of an update into the folder, under names that no manifest has listed before. */
async function linkShards(
  output: string,
  from: readonly ShardEntry[],
  directory: string,
  to: readonly ShardEntry[],
): Promise<void> {
  await guardIo('Adding shards', directory, async () => {
    for (const [index, shard] of from.entries()) {
      const names = filesOf(to[index]!).map(({ file }) => join(directory, file));
      for (const [position, { file }] of filesOf(shard).entries()) {
        const source = join(output, file);
        const target = names[position]!;
        await rm(target, { force: true }); // A killed update may have left this file.
        await link(source, target).catch(() => copyFile(source, target));
      }
    }
  });
}
