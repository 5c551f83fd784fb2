/**
 * Reuses finished chunks of an earlier run of the same output. Chunks are identified by their content hash, so they can
 * be reused even if their rows have moved within a file or to another file.
 */
import { randomUUID } from 'node:crypto';
import { copyFile, link, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { canonicalJson, sha256 } from '@sentvec/platform';
import { ioError, isSystemError, moveIntoPlace } from '@sentvec/platform/node';
import { isStorageUri, locateFile } from '@sentvec/storage';
import * as v from 'valibot';
import type { CorpusChunk } from '../chunk.ts';
import { streamFile } from '../inputs/unpack-input.ts';
import { isMissing, locationIn, readLocation } from '../location.ts';
import { filesOf, rejectedFileOf, renumberShard, type Manifest, type ShardFile } from '../manifest.ts';
import { shardsOf } from '../manifest-parts.ts';
import type { CorpusOptions } from '../request.ts';
import type { RejectedRow } from '../rows/rejected-row.ts';
import { streamRows } from '../rows/stream-rows.ts';
import type { CorpusRun } from './corpus-run.ts';
import {
  chunkFile,
  findDamagedFile,
  finishedChunkSchema,
  isInSamePlace,
  readFinishedChunk,
  rejectedRowSchema,
  writeFinishedChunk,
  type FinishedChunk,
} from './finished-chunk.ts';
import { namesOfFiles, plainName } from './file-names.ts';
import { readRunFile, runFolder, runNotOpenError, writeRunFile, type RunFolder } from './run-folder.ts';

/** Maximum number of concurrent writes. */
const writesAtOnce = 16;

/**
 * Writes records of reusable chunks into the folder of a run that is being prepared. Chunks with missing or damaged
 * shards are skipped. {@link takeOverChunk} reads the records.
 *
 * @param verify whether to check the hash of every shard, and not only its size
 * @throws SentvecError `io-failed`
 */
export async function noteEarlierChunks(
  folder: RunFolder,
  options: CorpusOptions,
  earlier: AsyncIterable<FinishedChunk>,
  verify: boolean,
): Promise<void> {
  const note = async (finished: FinishedChunk): Promise<void> => {
    if (await findDamagedFile(folder.output, finished.shard, verify)) return;
    const { firstRow, content } = finished.shard;
    await writeRunFile(folder, await earlierPath(folder, options, firstRow, content), JSON.stringify(finished));
  };
  let pending: Promise<void>[] = [];
  for await (const chunk of earlier) {
    pending.push(note(chunk));
    if (pending.length < writesAtOnce) continue;
    await Promise.all(pending);
    pending = [];
  }
  await Promise.all(pending);
}

/**
 * The path of the record of a reusable chunk. Without an id field, shards contain row numbers, so the row number is
 * part of the key.
 */
async function earlierPath(
  { earlier }: RunFolder,
  { idField }: CorpusOptions,
  firstRow: number,
  content: string,
): Promise<string> {
  return locationIn(earlier, `${await sha256(canonicalJson([content, idField === null ? firstRow : null]))}.json`);
}

/**
 * Reuses the chunk of an earlier run with the same content, if there is one: its shard gets the name that a newly
 * computed one would have.
 *
 * @param chunk with the hash of its rows as `content`
 * @returns `undefined` if there is no such chunk
 * @throws SentvecError `invalid-output` when the run was committed or replaced, or for a damaged file; `io-failed`
 */
export async function takeOverChunk(run: CorpusRun, chunk: CorpusChunk): Promise<FinishedChunk | undefined> {
  const folder = runFolder(run);
  const path = await earlierPath(folder, run.options, chunk.firstRow, chunk.content);
  const earlier = await readRunFile(path, finishedChunkSchema);
  if (earlier === undefined || earlier.chunk.rows !== chunk.rows) return undefined;
  if (earlier.rejectedRows.length > 0 && !isInSamePlace(earlier, chunk)) return undefined;
  if (await findDamagedFile(run.output, earlier.shard)) return undefined;
  const { companion, ...shard } = earlier.shard;
  const files = filesOf(earlier.shard);
  const hashes = files.map((file) => file.sha256);
  const plain = files.map(({ file }) => renumberShard(plainName(file), chunk.index));
  const names = await namesOfFiles(run, plain, hashes);
  for (const [index, file] of files.entries()) await giveName(folder, file, names[index]!);
  const { input, firstRow, firstInputRow, rows, firstLine } = chunk;
  const finished: FinishedChunk = {
    chunk: { input, firstRow, firstInputRow, rows, firstLine },
    shard: { ...shard, file: names[0]!, firstRow, ...(companion && { companion: { ...companion, file: names[1]! } }) },
    rejectedRows: earlier.rejectedRows,
  };
  await writeFinishedChunk(run, chunk.index, finished);
  return finished;
}

/** Links a file of a shard to another name. The old name stays, because the earlier manifest lists it. */
async function giveName(folder: RunFolder, { file }: ShardFile, name: string): Promise<void> {
  if (file === name) return;
  const [source, target] = [locationIn(folder.output, file), locationIn(folder.output, name)];
  if (isStorageUri(target)) {
    const bytes = await readLocation(source);
    if (bytes) await writeRunFile(folder, target, bytes);
    return;
  }
  const temporary = join(folder.temporary, `${randomUUID()}-${name}`);
  try {
    await link(source, temporary).catch((error: unknown) => {
      if (isSystemError(error, 'ENOENT')) throw error;
      return copyFile(source, temporary); // The file system has no hard links.
    });
    await moveIntoPlace(temporary, target);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw runNotOpenError(folder.output);
    throw ioError(error, 'Writing', target);
  }
}

/** The finished chunks of an unfinished run. */
export async function* chunksOfRun(run: CorpusRun): AsyncGenerator<FinishedChunk, void> {
  for await (const name of namesIn(runFolder(run).chunks)) {
    const index = Number(/\d+/u.exec(name)?.[0]);
    const finished = name === chunkFile(index) ? await readFinishedChunk(run, index) : undefined;
    if (finished) yield finished;
  }
}

async function* namesIn(folder: string): AsyncGenerator<string, void> {
  if (!isStorageUri(folder)) {
    yield* await readdir(folder).catch(() => []);
    return;
  }
  const { storage, key } = locateFile(folder);
  for await (const file of storage.list(`${key}/`)) yield basename(file.key);
}

/**
 * The finished chunks of a committed run with their rejected rows, as far as the list of rejected rows can be read.
 * Chunks with removed rows are skipped.
 *
 * @param rejectedToo whether to include chunks with rejected rows
 * @throws SentvecError `io-failed`
 */
export async function* chunksOfManifest(
  output: string,
  manifest: Manifest,
  rejectedToo: boolean,
): AsyncGenerator<FinishedChunk, void> {
  const { inputs } = manifest;
  const list = rejectedFileOf(manifest);
  const rejected = rejectedToo && list !== undefined ? readRejectedRows(locationIn(output, list)) : undefined;
  let next = await rejected?.next();
  let input = -1;
  let inputStart = 0;
  for await (const { input: shardInput, ...shard } of shardsOf(output, manifest)) {
    if (shardInput !== input) inputStart = shard.firstRow;
    input = shardInput;
    const file = inputs[input]?.file;
    if (file === undefined) continue;
    const firstInputRow = shard.firstRow - inputStart;
    const rows = shard.rows + shard.rejected;
    const rejectedRows: RejectedRow[] = [];
    while (next?.value && next.value.file === file && next.value.row < firstInputRow + rows) {
      rejectedRows.push(next.value);
      next = await rejected?.next();
    }
    if (rejectedRows.length !== shard.rejected || shard.removed) continue;
    yield { chunk: { input: file, firstRow: shard.firstRow, firstInputRow, rows }, shard, rejectedRows };
  }
}

/** The rejected rows of a list, up to the first invalid line. */
async function* readRejectedRows(path: string): AsyncGenerator<RejectedRow, void> {
  const stream = streamFile({ path });
  try {
    for await (const lines of streamRows(path, 'jsonl', 'lf', stream)) {
      for (const { bytes } of lines) {
        const row = v.safeParse(rejectedLine, bytes.toString('utf8'));
        if (!row.success) return;
        yield row.output;
      }
    }
  } catch (error) {
    if (!isMissing(error)) throw ioError(error, 'Reading', path);
  } finally {
    stream.destroy();
  }
}

const rejectedLine = v.pipe(v.string(), v.parseJson(), rejectedRowSchema);
