/** Reuses the finished chunks of an earlier run in the same folder, if their shards are still there. */
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { ioError } from '@sentvec/platform/node';
import { isStorageUri, locateFile } from '@sentvec/storage';
import * as v from 'valibot';
import { rejectedFile, type Manifest } from '../manifest.ts';
import type { RejectedRow } from '../rows/rejected-row.ts';
import { streamRows } from '../rows/stream-rows.ts';
import { streamFile } from '../inputs/unpack-input.ts';
import { isMissing, locationIn } from '../location.ts';
import type { CorpusRun } from './corpus-run.ts';
import {
  chunkFile,
  findDamagedFile,
  readFinishedChunk,
  rejectedRowSchema,
  type FinishedChunk,
} from './finished-chunk.ts';
import { runFolder, writeRunFile, type RunFolder } from './run-folder.ts';

/** A finished chunk of an earlier run, and its number. */
export interface EarlierChunk {
  readonly index: number;
  readonly finished: FinishedChunk;
}

/** Files that are written at once: each waits for the disk. */
const writesAtOnce = 16;

/**
 * Takes over finished chunks into the folder of a run that is being prepared, where their shards are as they were
 * written. A chunk is still computed again unless its rows turn out to be the same.
 *
 * @param verify whether the hash of every shard is checked, or only its size
 * @throws SentvecError `io-failed`
 */
export async function takeOver(
  folder: RunFolder,
  earlier: AsyncIterable<EarlierChunk>,
  verify: boolean,
): Promise<void> {
  const take = async ({ index, finished }: EarlierChunk): Promise<void> => {
    if (await findDamagedFile(folder.output, finished.shard, verify)) return;
    await writeRunFile(folder, locationIn(folder.chunks, chunkFile(index)), JSON.stringify(finished));
  };
  let pending: Promise<void>[] = [];
  for await (const chunk of earlier) {
    pending.push(take(chunk));
    if (pending.length < writesAtOnce) continue;
    await Promise.all(pending);
    pending = [];
  }
  await Promise.all(pending);
}

/** The finished chunks of a run that is not committed. */
export async function* chunksOfRun(run: CorpusRun): AsyncGenerator<EarlierChunk, void> {
  for await (const name of namesIn(runFolder(run).chunks)) {
    const index = Number.parseInt(name, 10);
    const finished = name === chunkFile(index) ? await readFinishedChunk(run, index) : undefined;
    if (finished) yield { index, finished };
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
 * The finished chunks of a committed run, with those of their rows that were rejected, as far as `rejected.jsonl` says
 * which they are.
 *
 * @param rejectedToo whether chunks with rejected rows are wanted
 * @throws SentvecError `io-failed`
 */
export async function* chunksOfManifest(
  output: string,
  { inputs, shards }: Manifest,
  rejectedToo: boolean,
): AsyncGenerator<EarlierChunk, void> {
  const rejected = rejectedToo ? readRejectedRows(output) : undefined;
  let next = await rejected?.next();
  let input = -1;
  let inputStart = 0;
  for (const [index, { input: shardInput, ...shard }] of shards.entries()) {
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
    if (rejectedRows.length !== shard.rejected) continue;
    yield {
      index,
      finished: { chunk: { input: file, firstRow: shard.firstRow, firstInputRow, rows }, shard, rejectedRows },
    };
  }
}

/** The lines of `rejected.jsonl`, up to the first that sentvec did not write. */
async function* readRejectedRows(output: string): AsyncGenerator<RejectedRow, void> {
  const path = locationIn(output, rejectedFile);
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
